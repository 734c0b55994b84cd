"""Verifies bundles: makes a report for each, with all that is wrong with it (check.py)."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from processor.bundles import index
from processor.bundles import manifest as manifests
from processor.bundles.again import NotComparable, differences
from processor.bundles.begun import is_begun
from processor.bundles.check import OPENED_TWICE, BundleCheck, name_of, unreadable
from processor.bundles.renderer import renderer, written_by
from processor.bundles.sealed import Seals
from processor.bundles.signatures import Checker, signed_page
from processor.codec import Codec
from processor.errors import UsageError
from processor.sessions.forms.shapes import Index, Manifest, Metadata
from processor.sessions.report import Problem, Report
from processor.targets.paths import AUDIT, BUNDLE, METADATA, RECORDS, is_date_part, path_part
from processor.targets.target import Target

PAGE: Final = "page"  # the status of one that was handed out alone
_UNPACK: Final = "name a bundle's folder; unpack a zip, and name the folder that comes of it"
_PAGE_BYTES_MAX: Final = 512 << 20  # It has at most 256 MiB of entries, and their contents.


def verify(
    target: str, codec: Codec | None = None, keys: Checker | None = None, sealed: Seals | None = None
) -> Iterator[Report]:
    """Yield a report for the bundle or page `target`, or for each bundle below the root `target`, in order of paths.

    With `codec`, words, page and table are rendered again from the records (again.py); without it they are not.
    With `keys`, each bundle has to be signed by one of them; with `sealed`, one of these seals has to have it.

    Raises:
        UsageError: there is no such place, no bundle in it, or it is a file that is no page.
        TargetUnavailable: it cannot be read.
    """
    where = Target(target)
    with where.told("read", "give the right to, then verify again"):
        if not where.files.exists(where.root):
            raise UsageError(f"there is no {target}", remedy="name a bundle, or the folder bundles were exported to")
        if where.files.isfile(where.root):
            if not _looks_like_page(where):
                raise UsageError(f"{target} is neither a bundle nor a page", remedy=_UNPACK)
            yield verify_page(where, keys)
            return
        if is_begun(where, where.root):
            raise UsageError(f"{target} is no bundle yet: its session is open", remedy="verify it once it has ended")
        if _looks_like_bundle(where):
            yield verify_bundle(where, where.root, codec, keys, sealed)
            return
        found = set()
        for path in _bundles_below(where):
            found.add(path)
            yield verify_bundle(where, path, codec, keys, sealed)
        yield from (missing := list(_missing(where, found)))
        if not (found or missing):
            raise UsageError(
                f"{target} holds no bundle", remedy="name a bundle, or the folder bundles were exported to"
            )


def is_root(target: str) -> bool:
    """Return whether `target` may have an index: it is neither a bundle nor the folder of a date."""
    where = Target(target)
    return not (_looks_like_bundle(where) or is_date_part(name_of(where.root)))


def root_of(target: str) -> Target:
    """Return the root that `target` is, or that it lies below, if it is a bundle or the folder of a date.

    Raises:
        UsageError: it is a page.
    """
    where = Target(target)
    if where.files.isfile(where.root):
        raise UsageError(f"{target} is a file, and no seal has it", remedy="leave out --seal, or name a bundle")
    while _looks_like_bundle(where) or is_date_part(name_of(where.root)):
        where = where.at(where.root.rpartition("/")[0] or "/")
    return where


def listed(target: str) -> int | None:
    """Return how many bundles the index of the root `target` lists. Returns None if it has no index."""
    where = Target(target)
    with where.told("read", "give the right to, then verify again"):
        found = [content for _, content in index.read(where) if isinstance(content, Index)]
    return sum(len(content.sessions) for content in found) if found else None


def _missing(target: Target, found: Collection[str]) -> Iterator[Report]:
    """Yield a report for each bundle that the index lists and is missing, and for each damaged file of the index."""
    for file, content in index.read(target):
        if isinstance(content, index.Damaged):
            yield Report(file, problems=[Problem("", "", str(content))])
            continue
        for session_id in content.sessions:
            path = target.path(f"{content.date}/{path_part(session_id)}")
            if path not in found and (not target.files.exists(path) or is_begun(target, path)):
                why = "it is missing: the index lists it, and neither a3cp erase nor a3cp retention has removed it"
                yield Report(path, session_id, problems=[Problem("", "", why)])


def _looks_like_page(target: Target) -> bool:
    with target.open(target.root) as file:
        return bool(file.read(1) == b"<")


def _looks_like_bundle(target: Target) -> bool:
    return any(target.files.exists(f"{target.root}/{name}") for name in (manifests.NAME, METADATA, RECORDS))


def _bundles_below(target: Target) -> Iterator[str]:
    dates = [name_of(path) for path in target.files.ls(target.root, detail=False)]
    folders = [target.root] if is_date_part(name_of(target.root)) else []
    for folder in folders or [target.path(date) for date in sorted(dates) if is_date_part(date)]:
        try:
            paths = sorted(str(path) for path in target.files.ls(folder, detail=False))
        except OSError:
            yield folder  # It cannot be read, which its report will say.
            continue
        for path in paths:
            is_folder = target.files.isdir(path) or (target.is_local and Path(path).is_symlink())
            if is_folder and not is_begun(target, path):
                yield path


def verify_page(target: Target, keys: Checker | None) -> Report:
    """Return what is wrong with a page that was handed out alone: all that can be checked is its signature."""
    report = Report(target.root, status=PAGE)
    try:
        found = signed_page(target.read(target.root, _PAGE_BYTES_MAX))
    except OSError as error:
        report.add("", "", unreadable(error))
        return report
    if found is None:
        report.add("", "", "it is not signed: it was changed, or saved otherwise than as HTML only")
        return report
    report.signed_by = found[0].key_id
    if keys is not None and (fault := keys.fault(*found)) is not None:
        report.add("", "", fault)
    return report


def verify_bundle(target: Target, path: str, codec: Codec | None, keys: Checker | None, sealed: Seals | None) -> Report:
    """Return what is wrong with the bundle at `path`."""
    report = Report(path)
    try:
        checker = BundleCheck(target, path, report.add)
        report.signed_by = checker.signature(keys)
        read = _check(checker, report, sealed)
        if codec is not None and read is not None and report.is_sound:
            _render(target.at(path), *read, codec, report)
    except OSError as error:
        report.add("", "", unreadable(error))
    return report


def _check(checker: BundleCheck, report: Report, sealed: Seals | None) -> tuple[Manifest, Metadata] | None:
    """Check the files against the manifest and each other. Return manifest and metadata if both could be read."""
    manifest = checker.manifest()
    if manifest is not None:
        report.session_id = manifest.session_id
        checker.files(manifest)
        checker.place(manifest)
    metadata = checker.metadata(report.session_id)
    if metadata is not None:
        report.session_id, report.status = metadata.session_id, metadata.completeness
        report.is_opened_twice = OPENED_TWICE in metadata.flags
    if not checker.has(RECORDS):
        return None  # Which is told; the others have nothing to be compared with.
    messages = checker.records(report.session_id, metadata)
    report.messages = len(messages.hashes)
    if metadata is not None and metadata.message_count != report.messages:
        report.add(METADATA, "message_count", f"{metadata.message_count}, but {RECORDS} has {report.messages}")
    events = checker.bundle(metadata, messages) if checker.has(BUNDLE) else None
    if checker.has(AUDIT):
        checker.audit(metadata, messages, events)
    if manifest is None or metadata is None:
        return None
    if sealed is not None:
        _prove(checker, manifest, messages.digest, sealed, report)
    return manifest, metadata


def _prove(checker: BundleCheck, manifest: Manifest, digest: str, sealed: Seals, report: Report) -> None:
    """Look for the bundle in the seals. Only one that was written later, or is of an open session, may be in none."""
    report.sealed = sealed.proof(manifest.session_id, checker.manifest_bytes(), digest)
    latest = sealed.latest
    was_there = latest is not None and report.status != "open" and manifest.written_at < latest.made_at
    if report.sealed is None and latest is not None and was_there:
        report.add("", "", f"no seal has it, and it says that it was there when {latest.day} was sealed")


def _render(target: Target, manifest: Manifest, metadata: Metadata, codec: Codec, report: Report) -> None:
    """Compare the files with what the records give, if this renderer wrote them."""
    if manifest.written_by != written_by(renderer()):
        report.not_rendered = f"another release wrote it, or what it is made of ({manifest.written_by})"
        return
    try:
        for name, line in differences(target, metadata, {file.name: file for file in manifest.files}, codec):
            report.add(name, f"line {line}", f"it is not what {RECORDS} and the session events give")
        report.is_rendered = True
    except NotComparable as why:
        report.not_rendered = str(why)
