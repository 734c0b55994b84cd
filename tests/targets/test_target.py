"""Targets: no two places have one name, and an empty one is none."""

from typing import Any
from urllib.parse import urlsplit

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from processor.errors import UsageError
from processor.targets.target import Target


class Server(MemoryFileSystem):  # type: ignore[misc]  # It has no types.
    """A file system that has its host in the URL, as SFTP does, and not in its paths."""

    protocol = "server"

    @classmethod
    def _strip_protocol(cls, path: str) -> Any:
        return urlsplit(path).path


@pytest.mark.parametrize("root", ["", " ", "file://", "file:", "local://", "memory://"])
def test_an_empty_root_is_refused(root: str) -> None:
    """A variable that is not set does not fill, or clear, the folder that one is in."""
    with pytest.raises(UsageError, match="names no folder"):
        Target(root)


def test_one_path_in_two_places_has_two_names() -> None:
    """Protocol and host are in the name, a password is not; a folder is one however it is written."""
    fsspec.register_implementation("server", Server, clobber=True)
    roots = ["/x", "memory:///x", "server://one/x", "server://two/x", "server://two:2222/x"]
    assert {Target(root).root for root in roots} == {"/x"}
    assert len({Target(root).name for root in roots}) == len(roots)
    assert Target("server://ann:geheim@one/x").name == Target("server://one/x").name
    assert Target("/x/").name == Target("file:///x").name == "/x"
    assert Target("x").name == Target("./x").name
