"""Reading a bundle: what was damaged is told, whichever bytes stand there now."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from processor.bundles.bundle import write_bundle
from processor.bundles.reading import LINE_BYTES_MAX, read_metadata, read_records, read_timeline
from processor.errors import UsageError
from processor.targets.target import Target
from tests.sessions.views import CODEC, NOW_MS, day_view


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle with all its files."""
    return Path(write_bundle(Target(str(tmp_path)), day_view("heron-07"), CODEC, now_ms=NOW_MS).path)


def read_all(bundle: Path) -> int:
    target = Target(str(bundle))
    return read_metadata(target).message_count + len(list(read_timeline(target))) + len(list(read_records(target)))


def test_a_whole_bundle_is_read(bundle: Path) -> None:
    """Metadata, timeline and records, each to its end."""
    assert read_all(bundle) > 3 * 60


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("session_metadata.json", b"heron-07", b"heron\xff07"),
        ("bundle.json", b'"words":"', b'"words":"\xff'),
        ("bundle.json", b'"record":{', b'"record":{"x":%b,' % (b"[" * 100_000 + b"]" * 100_000)),
        ("bundle.json", b'{"kind":"message"', b'{"kind":"message","x":\xff'),
        ("bundle.json", b'"at":"2025-11-20', b'"at":"2025-13-40'),
        ("records.jsonl", b'"key":"', b'"key":"\xff'),
        ("records.jsonl", b'"text":"{', b'"text":"\\ud800{'),
        ("records.jsonl", b'"text":"{', b'"base64":"x'),
        ("records.jsonl", b'"appended_at":"2025-11-2', b'"appended_at":"2025-13-4'),
    ],
)
def test_damage_is_told(bundle: Path, name: str, old: bytes, new: bytes) -> None:
    """Bytes that are no UTF-8, no JSON, no base64 or no time, or too deep, end in an error that says what to do."""
    path = bundle / name
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    with pytest.raises(UsageError, match="a3cp verify says"):
        read_all(bundle)


@pytest.mark.parametrize("name", ["session_metadata.json", "bundle.json", "records.jsonl"])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_what_is_no_file_is_refused(bundle: Path, name: str, make: Callable[[Path], None]) -> None:
    """A pipe, a link or a folder in a file's place is not opened: it might never end."""
    (bundle / name).unlink()
    make(bundle / name)
    with pytest.raises(UsageError, match="a3cp verify says"):
        read_all(bundle)


def test_a_line_without_end_is_refused(bundle: Path) -> None:
    """Reading takes memory for one line of limited length, whatever a file holds."""
    with (bundle / "records.jsonl").open("wb") as file:
        file.truncate(LINE_BYTES_MAX + 1)
    with pytest.raises(UsageError, match=r"records.jsonl in .* cannot be read .a line has more than .* bytes.; a3cp"):
        list(read_records(Target(str(bundle))))
