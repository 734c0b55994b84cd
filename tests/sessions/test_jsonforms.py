"""A session, its events and its sums have one JSON form: commands print what bundles hold."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from processor.bundles.contents import Format, write_files
from processor.codec.events import from_json
from processor.sessions.forms.jsonforms import event_fields, session_of
from processor.sessions.forms.metadata import metadata_of
from processor.sessions.model import SessionView
from processor.targets.paths import BUNDLE
from tests.sessions.views import CODEC, day_views


@pytest.mark.parametrize("view", day_views(), ids=lambda view: view.session.session_id[:20])
def test_one_form(view: SessionView, tmp_path: Path) -> None:
    """What `--json` tells of a session has the names and values of its bundle."""
    write_files(tmp_path, view, CODEC, frozenset({Format.JSON}))
    bundle: dict[str, Any] = json.loads((tmp_path / BUNDLE).read_bytes())
    told: dict[str, Any] = msgspec.to_builtins(session_of(view.session))
    metadata = msgspec.to_builtins(metadata_of(view))
    assert bundle["metadata"] == metadata
    assert told["summary"] == bundle["summary"]
    shared = told.keys() & metadata.keys()
    assert shared >= {"status", "completeness", "start_time", "end_time", "end_reason", "flags", "message_count"}
    assert {name: told[name] for name in shared} == {name: metadata[name] for name in shared}
    assert [event_fields(from_json(row.value)) for row in view.events()] == bundle["session_events"]
