"""Records of five users on two days, and a value in the store that no reader can read."""

from sqlalchemy import select, update

from processor.store.sql import SqlStore
from processor.store.tables import MESSAGES
from tests.sessions.outputs import message, processed

DAY_MS = 86_400_000
BAD = "user-1"
VALUES = [message(f"user-{n % 5}", n * 1000 + n % 5 // 4 * DAY_MS, source="ui") for n in range(20)]
RECORDS = processed(VALUES)


def replace_a_value(store: SqlStore, value: bytes | None = None) -> bytes:
    """Write another value into the first message of a user; return what was there."""
    rows = select(MESSAGES.c.position, MESSAGES.c.value).where(MESSAGES.c.user_id == BAD)
    with store.database.engine.begin() as connection:
        position, before = connection.execute(rows.order_by(MESSAGES.c.position).limit(1)).one()
        unknown = bytes.fromhex("c301") + bytes(8) + b"x"  # Avro of a schema that nobody knows.
        connection.execute(update(MESSAGES).where(MESSAGES.c.position == position).values(value=value or unknown))
    return bytes(before)
