"""What is kept of persons beside the log, in a database of its own: profiles, resumes, what is shared or marked."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

from cryptography.fernet import InvalidToken
from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from processor.errors import UsageError
from processor.profiles.bookmarks import Bookmarks, Sealing
from processor.profiles.cipher import cipher_of
from processor.profiles.pseudonyms import Pseudonyms
from processor.profiles.shares import Shares
from processor.profiles.tables import LAYOUT, LAYOUTS, METADATA, PERSONS, PROFILES, RESUMES
from processor.store.database import Database
from processor.store.opening import open_database

_Json = Mapping[str, Any]


class Profile(NamedTuple):
    """What is kept of a person."""

    given: str  # the id as it was given, such as an e-mail address
    info: _Json  # name, company and the like


class Profiles:
    """The profiles of all persons; may be used by several threads. Each call asks the database."""

    def __init__(self, database: Database, pseudonyms: Pseudonyms, key: str | None) -> None:
        """Prepare; the database is asked when it is needed, and the table made if there is none.

        Args:
            database: where it is.
            pseudonyms: makes them.
            key: what the content is encrypted with; None: it is not.
        """
        self._database = database
        self._pseudonyms = pseudonyms
        self._cipher = None if key is None else cipher_of(key.encode())
        self._insert = sqlite.insert if database.engine.dialect.name == "sqlite" else postgresql.insert
        self._is_made = False
        self.shares: Final = Shares(database, self._make)
        self.bookmarks: Final = Bookmarks(database, self._make, Sealing(self._closed, self._opened))

    def pseudonym(self, given: str) -> str:
        """Return the pseudonym of an id, without keeping anything."""
        return self._pseudonyms.of(given)

    def pseudonym_of(self, given: str, info: _Json | None = None) -> str:
        """Return the pseudonym of an id, and keep who is behind it.

        `info` replaces what was kept before; None leaves it. Raises as `profile`.
        """
        pseudonym = self._pseudonyms.of(given)
        known = self.profile(pseudonym)
        profile = Profile(given, info if info is not None else {} if known is None else known.info)
        if profile != known:
            values = {name: self._closed(value) for name, value in profile._asdict().items()}
            statement = self._insert(PROFILES).values(pseudonym=pseudonym, **values)
            with self._database.writing() as connection:
                connection.execute(statement.on_conflict_do_update(index_elements=["pseudonym"], set_=values))
        return pseudonym

    def keep_resume(self, user_id: str, resume: _Json) -> str:
        """Keep a person's resume, and return its SHA-256, by which it is found again. Raises as `profile`.

        `user_id`: the person's in the log: a pseudonym, or an id that names nobody.
        """
        self._make()
        digest = resume_digest(resume)
        row = {"user_id": user_id, "digest": digest, "resume": self._closed(resume)}
        with self._database.writing() as connection:
            connection.execute(self._insert(RESUMES).values(row).on_conflict_do_nothing())
        return digest

    def resume(self, user_id: str, digest: str) -> _Json | None:
        """Return the resume of a person that has this SHA-256; None if there is none any more. Raises as `profile`."""
        self._make()
        query = select(RESUMES.c.resume).where(RESUMES.c.user_id == user_id, RESUMES.c.digest == digest)
        rows = self._database.page(query)
        return self._opened(rows[0][0]) if rows else None

    def resumes(self, user_id: str) -> list[_Json]:
        """Return all resumes of a person. Raises as `profile`."""
        self._make()
        query = select(RESUMES.c.resume).where(RESUMES.c.user_id == user_id).order_by(RESUMES.c.digest)
        return [self._opened(row.resume) for row in self._database.page(query)]

    def profile(self, pseudonym: str) -> Profile | None:
        """Return what is kept behind a pseudonym; None if nothing is.

        Raises:
            StoreUnavailable: the database does not answer.
            UsageError: it cannot be used, has another release's layout, or this was encrypted with another key.
        """
        self._make()
        query = select(PROFILES.c.given, PROFILES.c.info).where(PROFILES.c.pseudonym == pseudonym)
        rows = self._database.page(query)
        return Profile(*(self._opened(value) for value in rows[0])) if rows else None

    def holds(self, user_id: str) -> bool:
        """Return whether anything of a person is kept; nothing is decrypted for it. Raises as `profile`."""
        self._make()
        return any(self._database.page(select(column).where(column == user_id).limit(1)) for column in PERSONS)

    def remove(self, user_id: str) -> bool:
        """Remove all that is kept of a person; return whether there was anything. Raises as `profile`."""
        self._make()
        with self._database.writing() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA secure_delete=ON")  # What was there is overwritten.
            removed = sum(
                connection.execute(delete(column.table).where(column == user_id)).rowcount for column in PERSONS
            )
        if removed and self._database.engine.dialect.name == "sqlite":
            with self._database.reading() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return removed > 0

    def close(self) -> None:
        """Let go of the connections."""
        self._database.close()

    def _make(self) -> None:
        if not self._is_made:
            with self._database.reading() as connection:
                self._database.dialect.begin_making(connection)
                _check_layout(connection, self._database.name)
                METADATA.create_all(connection)
                connection.commit()
            self._is_made = True

    def _closed(self, value: Any) -> bytes:
        content = json.dumps(value).encode()
        return content if self._cipher is None else self._cipher.encrypt(content)

    def _opened(self, content: bytes) -> Any:
        try:
            return json.loads(content if self._cipher is None else self._cipher.decrypt(content))
        except (InvalidToken, ValueError):
            raise UsageError(
                "a profile cannot be read: it was kept with another key, or without one",
                remedy="set A3CP_PROFILE_STORE_KEY to the key that it was kept with",
            ) from None


def _check_layout(connection: Connection, name: str) -> None:
    """Note the layout in a store that has none yet.

    Raises:
        UsageError: it has another one.
    """
    LAYOUTS.create(connection, checkfirst=True)
    held = connection.execute(select(LAYOUTS.c.layout)).scalar()
    if held is None:
        connection.execute(insert(LAYOUTS).values(layout=LAYOUT))
    elif held != LAYOUT:
        raise UsageError(
            f"the profile store {name} has the layout {held}, this release reads and writes {LAYOUT}",
            remedy="use the release that wrote it, or put back the copy of before the upgrade",
        )


def resume_digest(resume: _Json) -> str:
    """Return the SHA-256 of a resume's JSON with its names in order; the log holds that alone."""
    return sha256(json.dumps(resume, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def open_profiles(address: str, pseudonyms: Pseudonyms, key: str | None) -> Profiles:
    """Return the profiles in the database at `address`, written as that of the store.

    Raises:
        UsageError: no database can be there.
    """
    return Profiles(open_database(address), pseudonyms, key)
