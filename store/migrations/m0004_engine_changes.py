"""Version 4: what engines say of themselves is kept each time it changes.

The names below are those of version 4, spelled out, so that this step does the same whatever later versions call them.
"""

from sqlalchemy import Connection, text

_CHANGE = (
    'target_key TEXT, model_key TEXT, engine_key TEXT, changed_at TIMESTAMP, fact TEXT, "before" TEXT, "after" TEXT,'
    " is_sample BOOLEAN"
)


def upgrade(connection: Connection) -> None:
    connection.execute(text(f"CREATE TABLE engine_change ({_CHANGE})"))
