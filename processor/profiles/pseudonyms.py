"""From what a person gave to what the log holds, and the key that this takes."""

import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from sqlalchemy.engine import make_url

from processor.errors import UsageError

SITE_KEY_FILE: Final = "a3cp-site.key"
_PREFIX: Final = "person-"
_HEX: Final = 32
_PURPOSE: Final = b"a3cp pseudonym\0"  # So that the same key can serve for other things.
_KEY_BYTES: Final = 32


class Pseudonyms:
    """Makes pseudonyms: the same for the same id, and nobody without the site's key can test a guess."""

    def __init__(self, key: bytes) -> None:
        """`key`: the site's; another one makes other pseudonyms."""
        self._key = key

    def of(self, given: str) -> str:
        """Return the pseudonym of an id; an e-mail address is the same however its letters are written."""
        given = given.strip()
        known = given.casefold() if "@" in given else given
        return _PREFIX + hmac.digest(self._key, _PURPOSE + known.encode(), "sha256").hex()[:_HEX]


def site_key(given: str | None, store_url: str) -> tuple[bytes, Path | None]:
    """Return the site's key, and the file that holds it if it is not `given`: beside the store, made if there is none.

    No key is made beside a store that is not there if its path leads from the current folder: that may be any folder.

    Raises:
        UsageError: the store is no file, so nothing can be beside it; or the file cannot be read or made.
    """
    if given is not None:
        return given.encode(), None
    url = make_url(store_url)
    if url.get_backend_name() != "sqlite" or not url.database:
        raise UsageError("no site key is set, and none can be kept beside the store", remedy="set A3CP_SITE_KEY")
    store = Path(url.database)
    file = store.absolute().with_name(SITE_KEY_FILE)
    if not store.is_absolute() and not store.exists() and not file.exists():
        raise UsageError(
            "no site key is set, and there is no store yet that it could be beside",
            remedy="set A3CP_SITE_KEY, or A3CP_STORE_URL with the whole path: sqlite:////var/lib/a3cp/a3cp.db",
        )
    try:
        try:
            made = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(made, "w", encoding="ascii") as new:
                new.write(secrets.token_hex(_KEY_BYTES))
        key = file.read_bytes().strip()
    except OSError as error:
        raise UsageError(
            f"the site key {file} cannot be read or made ({error.strerror})", remedy="set A3CP_SITE_KEY"
        ) from None
    if len(key) < _KEY_BYTES:
        raise UsageError(
            f"the site key {file} is too short", remedy="set A3CP_SITE_KEY, or take the file from a backup"
        )
    return key, file
