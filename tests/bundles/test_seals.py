"""Seals: what was there when a day ended is proven, also against somebody who may rewrite files."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.bundles import seals
from processor.bundles.keys import make_keys, read_public_keys, read_signing_key
from processor.bundles.merkle import Tree, leaf_hash
from processor.bundles.sealed import SealReport, Seals
from processor.bundles.sealing import DailySealer
from processor.bundles.verify import verify
from processor.errors import BrokerUnavailable, Fatal, UsageError
from processor.removal.below import places_below
from processor.sessions.forms.shapes import SealFile
from processor.sessions.report import Report, Sealed
from processor.targets.target import Target
from tests.bundles.sealing import DAY, DAY_MS, MORE, RECORDS, START_MS, Site
from tests.bundles.stage import sealed


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    made = Site(folder)
    made.read(RECORDS)
    made.store.close()
    return folder


@pytest.fixture
def site(filled: Path, tmp_path: Path) -> Iterator[Site]:
    """A site of its own, with bundles."""
    made = Site(shutil.copytree(filled, tmp_path / "site"))
    yield made
    made.store.close()


def problems(reports: list[Report]) -> list[str]:
    return [str(problem) for report in reports for problem in report.problems]


def faults(found: list[SealReport]) -> list[str]:
    return [problem for report in found for problem in report.problems]


def test_each_ended_bundle_is_proven(site: Site) -> None:
    """To the last byte, by a path that anybody can follow; an open one is not."""
    made = site.seal()
    reports = site.reports()
    assert (problems(reports), faults(site.seals().reports)) == ([], [])
    ended = [report for report in reports if report.status != "open"]
    assert 0 < len(ended) < len(reports)
    for report in reports:
        assert (report.sealed is not None) == (report in ended)
        assert report.sealed is None or (report.sealed.is_all and is_proven(report.sealed))
    assert (made.seal.day, made.seal.leaves, made.position) == (DAY, 2 * len(ended), "a3cp.sessions[0]@0")
    assert site.log.records == [seals.text_of(made.seal).decode()]


def test_what_a_leaf_is(site: Site) -> None:
    """As docs/bundles.md says it: two lines of text, each behind a byte 0."""
    made, bundle = site.seal(), site.bundle()
    digest = json.loads((bundle / "bundle.json").read_bytes())["proof"]["held_digest"]
    manifest = sha256((bundle / "manifest.json").read_bytes()).hexdigest()
    for line in (f"manifest {manifest} {bundle.name}", f"messages {digest} {bundle.name}"):
        assert sha256(b"\0" + line.encode()).hexdigest() in made.hashes


def test_a_seal_names_nobody(site: Site) -> None:
    """Neither the file nor the record has a session's id; and who clears a root knows that."""
    site.seal()
    (file,) = site.files()
    assert "sess_" not in file.read_text()
    assert "sess_" not in site.log.records[0]
    assert str(file) not in {place.path for place in places_below(site.target)}


def test_it_is_made_once(site: Site) -> None:
    """Sealing again changes nothing, and a day without bundles has a seal, too."""
    made = site.seal()
    before = site.files()[0].read_bytes()
    site.now_ms += 1_000
    assert site.seal() == made
    assert (site.files()[0].read_bytes(), len(site.log.records)) == (before, 1)
    site.now_ms += DAY_MS
    empty = site.seal()
    assert (empty.seal.leaves, empty.seal.root) == (0, sha256().hexdigest())
    assert (empty.seal.previous, empty.seal.chain) == (seals.hash_of(made.seal), made.seal.chain)
    assert faults(site.seals().reports) == []


def test_the_next_seal_has_what_came_later(site: Site) -> None:
    """A session that a late message has lengthened is in no seal until then, and that is no fault."""
    first = site.seal()
    site.now_ms += DAY_MS
    site.read([*RECORDS, *(record._replace(offset=record.offset + 9) for record in MORE)])
    (changed,) = [report for report in site.reports() if report.status == "complete" and report.sealed is None]
    assert changed.problems == []
    second = site.seal()
    assert (first.seal.leaves, second.seal.leaves) == (12, 2)
    reports = site.reports()
    assert problems(reports) == []
    days = {report.path: report.sealed.day for report in reports if report.sealed}
    assert (days.pop(changed.path), set(days.values())) == ("2025-12-02", {DAY})


@pytest.mark.parametrize("killed_at", ["before the record", "before the position", "before the ledger"])
def test_a_sealer_that_was_killed_goes_on(site: Site, monkeypatch: pytest.MonkeyPatch, killed_at: str) -> None:
    """The file stays as it was made, and the log has equal records at most."""

    def killed(*_: object) -> None:
        raise BrokerUnavailable("killed")

    with monkeypatch.context() as patch:
        if killed_at == "before the record":
            site.log.is_away = True
        elif killed_at == "before the position":
            append = site.log.append
            patch.setattr(site.log, "append", lambda seal: killed(append(seal)))
        else:
            patch.setattr(type(site.store.ledger), "note_exported", killed)
        with pytest.raises(BrokerUnavailable):
            site.seal()
    site.log.is_away = False
    site.now_ms += 5_000
    made = site.seal()
    assert (made.position is not None, len(set(site.log.records))) == (True, 1)
    site.now_ms += DAY_MS
    assert site.seal().seal.leaves == 0
    assert (problems(site.reports()), faults(site.seals().reports)) == ([], [])


def test_a_bundle_that_was_written_anew_is_proven_by_its_messages(site: Site) -> None:
    """Another release words it otherwise: the messages are the sealed ones still."""
    site.seal()
    bundle = site.bundle()
    sealed(bundle, written_by="another release")
    (report,) = [report for report in site.reports() if report.path == str(bundle)]
    assert report.problems == []
    assert report.sealed is not None
    assert (report.sealed.is_all, is_proven(report.sealed)) == (False, True)


def rewritten(site: Site) -> Path:
    """A bundle whose page and messages were changed, so that all of its files agree."""
    bundle = site.bundle()
    records = [json.loads(line) for line in (bundle / "records.jsonl").read_bytes().splitlines()]
    for name in ("bundle.json", "timeline.jsonl", "timeline.html", "messages.csv", "timeline.csv"):
        (bundle / name).unlink()
    text = records[0]["text"].replace("word", "ward")
    assert text != records[0]["text"]
    records[0] |= {"text": text, "content_hash": sha256(text.encode()).hexdigest()}
    (bundle / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    sealed(bundle)
    return bundle


def test_a_rewritten_bundle_is_in_no_seal(site: Site) -> None:
    """Nothing in it tells; the seal does."""
    site.seal()
    bundle = rewritten(site)
    (alone,) = verify(str(bundle))
    assert alone.problems == []
    (found,) = [report for report in site.reports() if report.path == str(bundle)]
    assert [str(problem) for problem in found.problems] == [
        f"no seal has it, and it says that it was there when {DAY} was sealed"
    ]


def forge(site: Site) -> None:
    """Rewrite a bundle, and make each seal anew, so that all files agree."""
    bundle = rewritten(site)
    previous = None
    for number, path in enumerate(site.files()):
        file = msgspec.json.decode(path.read_bytes(), type=SealFile)
        if number == 0:
            file.hashes = sorted(
                [*file.hashes[1:], seals.manifest_leaf(bundle.name, (bundle / "manifest.json").read_bytes())]
            )
            file.seal.root = seals.tree_of(file.hashes).root.hex()
        file.seal.previous, previous = previous, None
        previous = seals.hash_of(file.seal)
        path.write_bytes(msgspec.json.encode(file))


@pytest.mark.parametrize("later", [0, 2])
def test_who_rewrites_all_files_is_found_by_the_log(site: Site, later: int) -> None:
    """Whether the forged seal is the latest, or others follow it; and the forged bundle is not proven."""
    for _ in range(1 + later):
        site.seal()
        site.now_ms += DAY_MS
    forge(site)
    assert faults(Seals(site.target, None).reports) == []
    found = site.seals()
    assert any("the log does not have it" in fault for fault in faults(found.reports))
    assert all(report.sealed is None for report in verify(str(site.root), sealed=found))


def edit(path: Path, **members: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_bytes()) | members))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda first, last: edit(first, hashes=[]), "its root is not that of its hashes"),
        (lambda first, last: last.write_text("{"), "it is no seal"),
        (lambda first, last: last.rename(last.with_name("2025-12-09.json")), "it is called otherwise than its day"),
        (lambda first, last: first.unlink(), "it names another seal before it"),
        (lambda first, last: last.unlink(), "the log has a seal of its chain at a3cp.sessions[0]@1 that is not here"),
        (lambda first, last: edit(last, position=None), "it has no record in the log yet"),
        (lambda first, last: edit(last, position="x"), "it is no seal"),
    ],
)
def test_what_was_done_to_a_seal_is_told(site: Site, change: Callable[[Path, Path], None], told: str) -> None:
    """And then its chain proves nothing."""
    site.seal()
    site.now_ms += DAY_MS
    site.seal()
    change(*site.files())
    found = site.seals()
    assert any(fault.startswith(told) for fault in faults(found.reports)), faults(found.reports)
    assert all(report.sealed is None for report in verify(str(site.root), sealed=found))


@pytest.mark.parametrize("offset", [0, 7])
def test_a_log_that_was_mirrored_has_it_elsewhere(site: Site, offset: int) -> None:
    """The place is where to look first. Who changes it hides nothing: neither this seal nor a later one."""
    site.seal()
    site.now_ms += DAY_MS
    site.seal()
    first, last = site.files()
    edit(last, position=f"a3cp.sessions[0]@{offset}")
    assert (faults(site.seals().reports), site.seals().reports[-1].log) == ([], "as in the log at a3cp.sessions[0]@1")
    last.unlink()
    edit(first, position=f"a3cp.sessions[0]@{offset}")
    assert "that is not here" in faults(site.seals().reports)[0]


def test_what_the_log_no_longer_has_is_said(site: Site) -> None:
    """After its retention it proves nothing, since a forged one may say so; and without a Kafka nobody compares."""
    site.seal()
    site.log.start = 1
    found = site.seals()
    assert faults(found.reports)[0].startswith("the log no longer has its record, a3cp.sessions[0]@0")
    assert found.latest is None
    (alone,) = Seals(site.target, None).reports
    assert (alone.log, alone.problems) == ("not compared with the log: no Kafka is named", [])


def test_seals_are_signed(site: Site, tmp_path: Path) -> None:
    """With the key of the bundles; another's is a fault."""
    make_keys(tmp_path / "ours")
    make_keys(tmp_path / "other")
    site.seal(signer=read_signing_key(tmp_path / "ours"))
    ours, other = (read_public_keys([tmp_path / f"{name}.pub"]) for name in ("ours", "other"))
    assert faults(Seals(site.target, site.log, ours).reports) == []
    assert "which is none of those given" in faults(Seals(site.target, site.log, other).reports)[0]
    site.now_ms += DAY_MS
    site.seal()
    assert faults(Seals(site.target, site.log, ours).reports) == ["it is not signed"]


def test_what_cannot_be_sealed_is_told(site: Site) -> None:
    """A day that goes on, one before the latest seal, a damaged seal; and a root without a seal has none to check."""
    with pytest.raises(UsageError, match="has no seals"):
        site.seals()
    with pytest.raises(UsageError, match="has not ended"):
        site.sealer().seal("2025-12-02")
    site.seal()
    with pytest.raises(UsageError, match=f"{DAY} is sealed already"):
        site.sealer().seal("2025-11-30")
    site.files()[0].write_text("{}")
    site.now_ms += DAY_MS
    with pytest.raises(Fatal, match="it is no seal"):
        site.seal()


def test_a_root_elsewhere_is_sealed_as_well(site: Site, tmp_path: Path) -> None:
    """Where nothing can be renamed or locked."""
    site.target = Target(f"memory://seals-{tmp_path.name}")
    site.write()
    site.seal()
    found = site.seals()
    assert faults(found.reports) == []
    assert sum(report.sealed is not None for report in verify(site.target.url, sealed=found)) > 0


def test_each_day_at_its_time(site: Site) -> None:
    """Once the silence is over that ends the day's last sessions; each once, also when somebody was earlier."""
    site.now_ms = START_MS + DAY_MS + 3_600_000 - 1
    daily = DailySealer(site.sealer(), now_ms=lambda: site.now_ms, wait_ms=3_600_000)
    first = daily.seal()
    assert first is not None
    assert (first.seal.day, daily.seal()) == ("2025-11-30", None)
    site.seal()
    assert daily.seal() is None
    site.now_ms += DAY_MS + 1
    made = daily.seal()
    assert made is not None
    assert made.seal.day == "2025-12-02"
    assert DailySealer(site.sealer(), now_ms=lambda: site.now_ms, wait_ms=3_600_000).seal() == made


def test_the_latest_sealed_day(site: Site) -> None:
    """Only what the log has taken counts, and what is no seal is passed over."""
    assert site.sealer().last_day_in_log() == ""
    site.seal()
    site.now_ms += DAY_MS
    site.log.is_away = True
    with pytest.raises(BrokerUnavailable):
        site.seal()
    assert (site.sealer().last_day(), site.sealer().last_day_in_log()) == ("2025-12-02", DAY)
    site.files()[-1].write_text("{}")
    assert site.sealer().last_day_in_log() == DAY


def as_specified(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, to the letter."""
    if len(leaves) < 2:
        return sha256(b"\0" + leaves[0]).digest() if leaves else sha256().digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\1" + as_specified(leaves[:split]) + as_specified(leaves[split:])).digest()


@given(st.lists(st.binary(max_size=3), max_size=40))
def test_the_tree_is_that_of_the_standard(leaves: list[bytes]) -> None:
    """Its root, and the paths of all leaves; a path of another leaf or too long a one leads elsewhere."""
    hashes = [leaf_hash(leaf) for leaf in leaves]
    tree = Tree(hashes)
    assert tree.root == as_specified(leaves)
    for number, leaf in enumerate(hashes):
        path = tree.path(number)
        assert root_by(leaf, number, len(hashes), path) == tree.root
        assert root_by(leaf, number, len(hashes), [*path, tree.root]) is None
        assert root_by(leaf, number, len(hashes), path[:-1]) != tree.root or not path
        assert root_by(leaf_hash(b"elsewhere"), number, len(hashes), path) != tree.root


def is_proven(sealed: Sealed) -> bool:
    """Whether the path of a proof leads from its leaf to its root: all that a third party has to check."""
    path = [bytes.fromhex(one) for one in sealed.path]
    root = root_by(bytes.fromhex(sealed.leaf), sealed.number, sealed.leaves, path)
    return root is not None and root.hex() == sealed.root


def root_by(leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root to which `path` leads from a leaf; None if no tree of `count` leaves has such a path."""
    left = list(path)
    last = count - 1
    while last > 0:
        if index % 2 or index < last:
            if not left:
                return None
            beside = left.pop(0)
            leaf = sha256(b"\1" + (beside + leaf if index % 2 else leaf + beside)).digest()
        index, last = index // 2, last // 2
    return None if left or index else leaf
