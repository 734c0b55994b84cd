"""The tables of the profile store: all that is kept of a person beside the log, to be removed with them."""

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, Table, Text

LAYOUT: Final = 1
"""The number of what stands below. Whoever changes it brings stores of the layouts before forward, as store/forward.py
does."""

METADATA: Final = MetaData()

LAYOUTS: Final = Table("profiles_layout", METADATA, Column("layout", Integer, primary_key=True, autoincrement=False))
"""One row: the layout that the store has. One that was made before there was a number has the first."""

PROFILES: Final = Table(
    "profiles",
    METADATA,
    Column("pseudonym", Text, primary_key=True),
    Column("given", LargeBinary, nullable=False),
    Column("info", LargeBinary, nullable=False),
)
"""One row a person; all but the pseudonym is encrypted, if there is a key."""

RESUMES: Final = Table(
    "resumes",
    METADATA,
    Column("user_id", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("resume", LargeBinary, nullable=False),
)
"""What interviews begin with: one row for each resume of a person, found by its SHA-256; encrypted likewise."""

SHARES: Final = Table(
    "shares",
    METADATA,
    Column("share_id", Text, primary_key=True),
    Column("session_id", Text, nullable=False, index=True),
    Column("user_id", Text, nullable=False),
    Column("position", Text, nullable=False),
    Column("at_ms", BigInteger),
    Column("digest", Text),
    Column("redact", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),
)
"""One row a share; see `shares.Share`. They go with their person, which takes back every link to their sessions."""

BOOKMARKS: Final = Table(
    "bookmarks",
    METADATA,
    Column("bookmark_id", Text, primary_key=True),
    Column("session_id", Text, nullable=False, index=True),
    Column("user_id", Text, nullable=False, index=True),
    Column("place", Text, nullable=False),
    Column("text", LargeBinary, nullable=False),
    Column("performer_id", Text),
    Column("created_ms", BigInteger, nullable=False),
)
"""One row a bookmark; see `bookmarks.Bookmark`. The text is encrypted, if there is a key."""

PERSONS: Final = (PROFILES.c.pseudonym, RESUMES.c.user_id, SHARES.c.user_id, BOOKMARKS.c.user_id)
"""The column of each table that says whose a row is."""
