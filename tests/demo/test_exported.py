"""The demo's folder: nobody else's is emptied, whatever the names in it."""

from pathlib import Path

import pytest

from processor.demo.exported import make_room, require_ours
from processor.errors import UsageError


def left(folder: Path) -> None:
    """Leave what an export leaves."""
    (folder / "a3cp.db").write_text("rows")
    (folder / "bundles" / "2026-11-21").mkdir(parents=True)


def test_a_real_export_is_not_the_demos(tmp_path: Path) -> None:
    """Store and bundles under the names that the documents use are somebody's: refused, and still there."""
    left(tmp_path)
    with pytest.raises(UsageError, match="not the demo's"):
        require_ours(tmp_path)
    with pytest.raises(UsageError, match="not the demo's"):
        make_room(tmp_path)
    assert (tmp_path / "a3cp.db").read_text() == "rows"
    assert (tmp_path / "bundles" / "2026-11-21").is_dir()


@pytest.mark.parametrize("is_there", [True, False])
def test_a_demo_makes_room_for_the_next(tmp_path: Path, is_there: bool) -> None:
    """A folder that is empty or missing is taken; what a demo left in it goes before the next one."""
    folder = tmp_path if is_there else tmp_path / "not" / "yet"
    make_room(folder)
    left(folder)
    make_room(folder)
    assert [path.name for path in folder.iterdir()] == [".a3cp-demo"]
    (folder / "mine.txt").touch()
    with pytest.raises(UsageError, match="not the demo's"):
        make_room(folder)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """A file of that name is refused."""
    (tmp_path / "demo").touch()
    with pytest.raises(UsageError, match="not the demo's"):
        require_ours(tmp_path / "demo")
