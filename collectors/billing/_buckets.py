"""Pages of time buckets, as cost APIs answer: {"data": [bucket, ...], "has_more": ...}, one or several in a file."""

from collections.abc import Iterator, Mapping
from typing import Any

from collectors.billing._json import documents, text_of
from collectors.billing.base import BillingSource
from costlib.errors import BadRecord


def buckets(source: BillingSource, start: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every bucket and where it is, for messages. `start` is the member that says when one begins."""
    seen: set[str | None] = set()
    more = False
    for line, document in documents(source):
        for page in document if isinstance(document, list) else [document]:
            where = f"{source.name}: the page at line {line}"
            data = field_of(page, "data", where, list)
            more = page.get("has_more") is True
            for number, bucket in enumerate(data, start=1):
                place = f"{where}, bucket {number}"
                begin = text_of(field_of(bucket, start, place, object))
                if begin in seen:
                    raise BadRecord(f"{place} begins at {begin} as one before it does: a page is in the file twice")
                seen.add(begin)
                yield place, bucket
    if more:
        source.notes["last page that says that there are more; import them too"] += 1


def field_of(record: Any, name: str, where: str, kind: type) -> Any:
    """The member of an object. Raises BadRecord when it is missing or no `kind`."""
    if not isinstance(record, Mapping):
        raise BadRecord(f"{where} is no JSON object; save the API's answer as it came")
    value = record.get(name)
    if value is None or not isinstance(value, kind):
        found = "is missing" if name not in record else f"is {str(value)[:40]!r}"
        raise BadRecord(f"{where}: {name} {found}; save the API's answer as it came, and import that")
    return value
