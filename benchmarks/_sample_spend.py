"""The sample fleet's daily spend and tokens, product by product, from its usage hours and its bill."""

import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from io import StringIO

from collectors.demo import sample_file
from collectors.sample import usage_hours
from collectors.sample_bill import bill_csv
from costlib.books import TokenClass
from costlib.forecast import History


def sample_histories(end: datetime) -> Iterator[tuple[str, History]]:
    """Spend, then tokens at a dollar per million, of each product, after the spend of all."""
    file = sample_file(end)
    spend, services = _bill(bill_csv(file, end))
    first = min(spend["all"])
    days = [first + timedelta(days=n) for n in range((max(spend["all"]) - first).days + 1)]
    used = _usage(usage_hours(file, end))
    items = {name: [amounts.get(day, Decimal(0)) for day in days] for name, amounts in services.items()}
    yield "all spend", History(key="", first=first, cost=[spend["all"].get(day) for day in days], items=items)
    for deployment in file.today.deployments:
        of_day = used[deployment.key]
        tokens = {name: [of_day[day].get(name, 0) for day in days] for name in TokenClass}
        requests = [of_day[day].get("requests", 0) for day in days]
        cost = [spend[deployment.product].get(day) for day in days]
        key = deployment.product
        yield f"{key}: spend", History(key=key, first=first, cost=cost, requests=requests, tokens=tokens)
        whole = [Decimal(sum(counts[n] for counts in tokens.values())) / 10**6 for n in range(len(days))]
        yield f"{key}: tokens", History(key=key, first=first, cost=whole)


def _bill(text: str) -> tuple[dict[str, dict[date, Decimal]], dict[str, dict[date, Decimal]]]:
    """Effective cost by day: by product and in all, and by service."""
    by_product: dict[str, dict[date, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    by_service: dict[str, dict[date, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for row in csv.DictReader(StringIO(text)):
        day, cost = date.fromisoformat(row["ChargePeriodStart"][:10]), Decimal(row["EffectiveCost"])
        for key in ("all", json.loads(row["Tags"]).get("product", "") if row["Tags"] else ""):
            by_product[key][day] += cost
        by_service[row["ServiceName"]][day] += cost
    return by_product, by_service


def _usage(table) -> dict[str, dict[date, dict[str, int]]]:
    found: dict[str, dict[date, dict[str, int]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    for row in table.to_pylist():
        day = found[row["target_key"]][row["bin_start"].date()]
        day["requests"] += sum(row[f"requests_{why}_count"] for why in ("stop", "length", "abort"))
        day[TokenClass.INPUT] += row["prompt_tokens"] - row["cached_prompt_tokens"]
        day[TokenClass.CACHED_INPUT] += row["cached_prompt_tokens"]
        day[TokenClass.OUTPUT] += row["generation_tokens"]
    return found
