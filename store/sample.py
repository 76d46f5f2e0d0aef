"""Sample data are for a first look only: a home holds either sample rows or real ones, never both in one sum."""

from sqlalchemy import Connection, delete, insert, select

from costlib.errors import ConfigError
from store.schema import meta, metadata

CONTENT = "content"  # the key in `meta`
SAMPLE, REAL = "sample", "real"


def content(connection: Connection) -> str | None:
    """SAMPLE, REAL, or None while the home is empty."""
    found: str | None = connection.scalar(select(meta.c.value).where(meta.c.key == CONTENT))
    return found


def admit(connection: Connection, is_sample: bool) -> None:
    """Call in the transaction that adds rows: real rows drive all sample rows out, and sample rows stay out of real."""
    wanted = SAMPLE if is_sample else REAL
    found = content(connection)
    if found == wanted:
        return
    if found == REAL:
        raise ConfigError(
            "this home already holds real data, and sample data would be added to its sums."
            " Name an empty folder in PERMILLION_HOME to look at the sample."
        )
    if found == SAMPLE:
        forget(connection)
    connection.execute(insert(meta).values(key=CONTENT, value=wanted))


def forget(connection: Connection) -> bool:
    """Remove every sample row. False if there is none."""
    if content(connection) != SAMPLE:
        return False
    for table in metadata.sorted_tables:
        if "is_sample" in table.c:
            connection.execute(delete(table).where(table.c.is_sample))
    connection.execute(delete(meta).where(meta.c.key == CONTENT))
    return True
