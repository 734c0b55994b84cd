"""Static tokens: a file of their hashes, and the door that knows them.

The file is JSON: `[{"name", "sha256", "role": "producer|reviewer|operator", "users": ["…"] | "*"}]`. A token itself is
in no file: whoever reads the file learns none.
"""

import hmac
import os
import secrets
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from processor.errors import UsageError
from processor.faces.auth.doors import ALL_USERS, Caller, Role

_PREFIX: Final = "a3cp_"  # By which scanners for leaked secrets, and people, know one.
_BYTES: Final = 32
_LOOK_EVERY_S: Final = 1.0


class Token(BaseModel):
    """One token as the file has it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, Field(min_length=1, max_length=100)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    role: Role
    users: frozenset[Annotated[str, Field(min_length=1)]] | Literal["*"]

    @property
    def caller(self) -> Caller:
        """Who has it."""
        return Caller(self.name, self.role, (ALL_USERS,) if self.users == ALL_USERS else self.users)


_TOKENS: Final = TypeAdapter(list[Token])


class TokenFile:
    """The door of static tokens. A change of the file counts within a second."""

    def __init__(self, path: Path, on_trouble: Callable[[UsageError], None]) -> None:
        """Read the file.

        Args:
            path: where it is.
            on_trouble: told when it cannot be read later; then the tokens of before go on to count.

        Raises:
            UsageError: it cannot be read, or is not as it should be.
        """
        self._path = path
        self._on_trouble = on_trouble
        self._changed = _changed(path)
        self._tokens = read_tokens(path)
        self._looked_s = time.monotonic()

    async def who(self, token: str) -> Caller | None:
        """Return whose token it is; the time that it takes says nothing about the tokens there are."""
        self._look()
        digest = sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        found = None
        for known in self._tokens:
            if hmac.compare_digest(known.sha256, digest):
                found = known.caller
        return found

    def _look(self) -> None:
        now_s = time.monotonic()
        if now_s < self._looked_s + _LOOK_EVERY_S:
            return
        self._looked_s = now_s
        changed = _changed(self._path)
        if changed == self._changed:
            return
        self._changed = changed
        try:
            self._tokens = read_tokens(self._path)
        except UsageError as error:
            self._on_trouble(error)


def read_tokens(path: Path) -> Sequence[Token]:
    """Return the tokens of a file.

    Raises:
        UsageError: it cannot be read, or is not as it should be.
    """
    try:
        return _TOKENS.validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"the tokens file {path} cannot be read ({error.strerror})", remedy="make one with a3cp token new"
        ) from None
    except ValidationError as error:
        problem = error.errors(include_input=False, include_context=False, include_url=False)[0]
        where = ".".join(map(str, problem["loc"])) or "it"
        raise UsageError(
            f"the tokens file {path} is not as it should be: {where}: {problem['msg'].lower()}",
            remedy="docs/security.md shows its form",
        ) from None


def add_token(path: Path, name: str, role: Role, users: frozenset[str]) -> str:
    """Add a new token to a file, make the file if there is none, and return the token.

    Raises:
        UsageError: the file cannot be read or written, or has a token of this name already.
    """
    tokens = list(read_tokens(path)) if path.exists() else []
    if any(known.name == name for known in tokens):
        raise UsageError(f"{path} has a token {name} already", remedy="take another name, or remove the old one first")
    token = _PREFIX + secrets.token_urlsafe(_BYTES)
    scope: frozenset[str] | Literal["*"] = "*" if ALL_USERS in users else users
    tokens.append(Token(name=name, sha256=sha256(token.encode()).hexdigest(), role=role, users=scope))
    _write(path, _TOKENS.dump_json(tokens, indent=2) + b"\n")
    return token


def _write(path: Path, content: bytes) -> None:
    """Replace a file in one step; only its owner may read it."""
    new = path.with_name(path.name + ".new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        new.replace(path)
    except OSError as error:
        raise UsageError(
            f"the tokens file {path} cannot be written ({error.strerror})", remedy="name a file in a folder of yours"
        ) from None


def _changed(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
