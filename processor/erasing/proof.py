"""The proof of an erasure: a file that names nobody. It is written before anything is removed."""

import hmac
import json
import secrets
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from processor.errors import Fatal, UsageError

FORMAT: Final = "a3cp-erasure/1"
NEW_FILE: Final = "name a new file in a folder that is there"


class Proof:
    """A proof on disk. It grows with what is done, and says `complete` once all is done."""

    def __init__(self, file: Path, user: str, told: Mapping[str, Any]) -> None:
        """Write `told` into a new `file`, with a hash of `user`. Only with the receipt can anybody check who it is.

        Raises:
            UsageError: it cannot be written.
        """
        self.file = file
        self.receipt = secrets.token_hex(16)
        self._told = {
            "format": FORMAT,
            "written_by": f"a3cp-session-manager {version('a3cp-session-manager')}",
            "user_hmac_sha256": hmac.digest(self.receipt.encode(), user.encode(), "sha256").hex(),
            "complete": False,
            **told,
        }
        try:
            with file.open("x", encoding="utf-8") as out:
                out.write(self._text())
        except OSError as error:
            raise UsageError(f"no proof can be written to {file} ({error.strerror})", remedy=NEW_FILE) from error

    def note(self, **told: Any) -> None:
        """Add to the proof, or replace what it said.

        Raises:
            Fatal: it cannot be written. The proof is as it was before.
        """
        self._told.update(told)
        beside = self.file.with_name(f".{self.file.name}.tmp")
        try:
            beside.write_text(self._text(), encoding="utf-8")
            beside.replace(self.file)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise Fatal(f"the proof {self.file} cannot be written ({error.strerror})", remedy="make room") from error

    def drop(self) -> None:
        """Remove it: there is nothing to prove."""
        self.file.unlink()

    def _text(self) -> str:
        return json.dumps(self._told, indent=2) + "\n"
