"""Writes a session as a bundle: a folder of files for people, programs and auditors (docs/bundles.md).

The files depend on the session alone. Only the manifest says when and by what they were written.
"""

from enum import Enum
from typing import NamedTuple

import msgspec

from processor.bundles import manifest as manifests
from processor.bundles import signatures
from processor.bundles.contents import ALL_FORMATS, Format, write_files
from processor.bundles.placing import folder_to_write, manifest_there, put_in_place
from processor.bundles.renderer import renderer, written_by
from processor.codec import Codec
from processor.codec.isotime import format_time
from processor.sessions.model import SessionView
from processor.targets.paths import METADATA, bundle_path
from processor.targets.target import Target


class BundleOutcome(Enum):
    """What became of a session's bundle."""

    WRITTEN = "written"
    REPLACED = "replaced"  # one with other content was there
    UNCHANGED = "unchanged"  # the same content was there, or a later state of the session, and stays as it is
    SET_ASIDE = "set_aside"  # a message of the session cannot be read; `write_bundle` raises the error


class Written(NamedTuple):
    """Where a bundle lies now."""

    path: str
    outcome: BundleOutcome
    size_bytes: int
    messages: int


def write_bundle(
    target: Target,
    view: SessionView,
    codec: Codec,
    *,
    now_ms: int,
    formats: frozenset[Format] = ALL_FORMATS,
    is_pure: bool = True,
    signer: signatures.Signer | None = None,
) -> Written:
    """Write the session in `view` below `target`. If the same or a later state is there already, leave it.

    Args:
        now_ms: the time of writing, for the manifest alone.
        formats: what to write; what every bundle has is always there.
        is_pure: whether this release made the rows in `view`, too. Then `verify` may render the bundle again.
        signer: signs the manifest.

    Raises:
        OSError: the target cannot be written (full, read-only, away). What was there before is still there.
        DecodeError, RegistryUnavailable: as `Codec.decode_tagged`.
    """
    session = view.session
    final = target.path(bundle_path(session.session_id, session.start_ms))
    with folder_to_write(target, final) as folder:
        there = manifest_there(target, final)
        if there is not None and _changes_there(target, final) > session.changes:
            # By another exporter, which read the session later; what was erased has no bundle that could be here.
            return Written(final, BundleOutcome.UNCHANGED, sum(file.size for file in there.files), session.held_count)
        files = write_files(folder, view, codec, formats)
        manifest = manifests.make(
            session.session_id,
            files,
            written_at=format_time(now_ms),
            written_by=written_by(renderer() if is_pure else None),
        )
        size = sum(file.size for file in files)
        if there is not None and manifests.same_content(there, manifest):
            return Written(final, BundleOutcome.UNCHANGED, size, session.held_count)
        text = manifests.render(manifest)
        (folder / manifests.NAME).write_bytes(text)
        if signer is not None:
            (folder / signatures.NAME).write_bytes(signer.sign(text))
        replaced = put_in_place(target, folder, final)
    return Written(
        final, BundleOutcome.REPLACED if replaced else BundleOutcome.WRITTEN, size + len(text), session.held_count
    )


class _Counts(msgspec.Struct):
    """The counts that say which of two states of a session is later; bundles of other releases have them too."""

    message_count: int
    event_count: int


def _changes_there(target: Target, final: str) -> int:
    """Return the `SessionRow.changes` of the bundle at `final`. Returns 0 if it cannot be read."""
    try:
        counts = msgspec.json.decode(target.files.cat_file(f"{final}/{METADATA}"), type=_Counts)
    except (OSError, ValueError):  # Damaged: then it is written again.
        return 0
    return counts.message_count + counts.event_count
