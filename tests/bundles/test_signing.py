"""Signed bundles: who signed is proven, and unsigned, another's and altered ones are told apart."""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from processor.bundles.bundle import BundleOutcome, write_bundle
from processor.bundles.keys import PublicKeys, make_keys, read_public_keys, read_signing_key
from processor.bundles.verify import verify
from processor.errors import UsageError
from processor.targets.target import Target
from tests.bundles.stage import sealed
from tests.cli.running import a3cp
from tests.sessions.views import CODEC, NOW_MS, day_view

VIEW = day_view("heron-07")


class Signed:
    """A bundle that was signed, and both keys."""

    def __init__(self, folder: Path) -> None:
        self.key = folder / "site"
        self.key_id = make_keys(self.key)
        self.public = folder / "site.pub"
        self.root = folder / "root"
        signer = read_signing_key(self.key)
        self.bundle = Path(write_bundle(Target(str(self.root)), VIEW, CODEC, now_ms=NOW_MS, signer=signer).path)

    def copy(self, root: Path) -> Path:
        return Path(shutil.copytree(self.bundle, root / self.bundle.parent.name / self.bundle.name))


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    return Signed(tmp_path_factory.mktemp("signed"))


def problems(path: Path, keys: PublicKeys | None) -> list[str]:
    (report,) = verify(str(path), keys=keys)
    return [str(problem) for problem in report.problems]


def test_a_signature_changes_no_other_byte(signed: Signed, tmp_path: Path) -> None:
    """A signed bundle is an unsigned one and a further file; that one is sound without a key as well."""
    plain = Path(write_bundle(Target(str(tmp_path)), VIEW, CODEC, now_ms=NOW_MS).path)
    files = {path.name: path.read_bytes() for path in signed.bundle.iterdir()}
    del files["manifest.sig"]
    assert files == {path.name: path.read_bytes() for path in plain.iterdir()}
    (report,) = verify(str(signed.bundle))
    assert (report.problems, report.signed_by) == ([], signed.key_id)


def test_a_bundle_that_is_there_stays_as_it_is(signed: Signed, tmp_path: Path) -> None:
    """Neither a key nor a later one changes it: the old public key goes on to verify it."""
    make_keys(tmp_path / "later")
    target, later = Target(str(signed.root)), read_signing_key(tmp_path / "later")
    assert write_bundle(target, VIEW, CODEC, now_ms=NOW_MS + 1, signer=later).outcome is BundleOutcome.UNCHANGED
    assert problems(signed.bundle, read_public_keys([signed.public])) == []


def test_after_a_change_of_keys_both_verify(signed: Signed, tmp_path: Path) -> None:
    """Keys may be given one by one, or as a folder: a signature says by which key it is."""
    make_keys(tmp_path / "later")
    later = tmp_path / "root"
    write_bundle(Target(str(later)), VIEW, CODEC, now_ms=NOW_MS, signer=read_signing_key(tmp_path / "later"))
    shutil.copy(signed.public, tmp_path)
    for keys in ([tmp_path], [tmp_path / "later.pub", signed.public]):
        for root in (signed.root, later):
            (report,) = verify(str(root), keys=read_public_keys(keys))
            assert report.problems == []


def test_unsigned_another_s_and_altered_are_told_apart(signed: Signed, tmp_path: Path) -> None:
    """Each is a problem, in words of its own."""
    keys = read_public_keys([signed.public])
    unsigned = signed.copy(tmp_path / "unsigned")
    (unsigned / "manifest.sig").unlink()
    assert problems(unsigned, keys) == ["manifest.sig: it is missing: the bundle is not signed"]
    other_id = make_keys(tmp_path / "other")
    (told,) = problems(signed.bundle, read_public_keys([tmp_path / "other.pub"]))
    assert told == f"manifest.sig: it is by the key {signed.key_id}, which is none of those given ({other_id})"
    altered = signed.copy(tmp_path / "altered")
    sealed(altered, written_by="somebody else")
    assert f"manifest.sig: the key {signed.key_id} has not signed these bytes" in problems(altered, keys)[0]


def test_every_byte_of_a_signature_counts(signed: Signed, tmp_path: Path) -> None:
    """Whichever byte of it changes, it is found."""
    keys, bundle = read_public_keys([signed.public]), signed.copy(tmp_path)
    data = (bundle / "manifest.sig").read_bytes()
    for at, byte in enumerate(data):
        (bundle / "manifest.sig").write_bytes(data[:at] + bytes([byte ^ 1]) + data[at + 1 :])
        found = [problem for problem in problems(bundle, keys) if problem.startswith("manifest.sig: ")]
        assert found, at


def test_openssl_checks_it_too(signed: Signed, tmp_path: Path) -> None:
    """By the very lines of docs/bundles.md: nobody needs our program."""
    text = (Path(__file__).parents[2] / "docs" / "bundles.md").read_text("utf-8")
    program = text.partition("Nobody needs our program")[2].partition("```sh")[2].partition("```")[0]
    bundle = signed.copy(tmp_path)
    shutil.copy(signed.public, bundle)
    done = subprocess.run(["sh", "-ec", program], cwd=bundle, capture_output=True, text=True, check=True)
    assert "Signature Verified Successfully" in done.stdout


def test_the_private_key_is_its_owner_s(signed: Signed) -> None:
    """Nobody else reads it, and no second one takes its place."""
    assert stat.S_IMODE(signed.key.stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="cannot be made"):
        make_keys(signed.key)


def test_the_commands(signed: Signed, tmp_path: Path) -> None:
    """`keys new` prints the id; `verify` says by which key, and fails with another's."""
    made = a3cp("keys", "new", "mine", environ={}, folder=tmp_path)
    assert (made.returncode, (tmp_path / "mine.pub").exists()) == (0, True)
    done = a3cp("verify", str(signed.root), "--key", str(signed.public), environ={})
    assert (done.returncode, f"signatures by the key {signed.key_id}: 1, checked with it" in done.stdout) == (0, True)
    done = a3cp("verify", str(signed.root), "--key", "mine.pub", environ={}, folder=tmp_path)
    assert (done.returncode, f"none of those given ({made.stdout.strip()})" in done.stdout) == (1, True)
    done = a3cp("verify", str(signed.root), environ={})
    assert (done.returncode, "1, not checked: --key FILE does" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--key", "none.pub"), "the key none.pub cannot be read"),
        (("--key", "mine"), "mine holds no public Ed25519 key"),
        (("--key", "empty"), "empty has no public key"),
        (("--key", "text.pub"), "text.pub holds no public Ed25519 key"),
        (("--key", "mine.pub", "--topic"), "either a bundle or --topic"),
    ],
)
def test_what_is_no_key_is_told(signed: Signed, tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    """Exit code 2, in one line, and nothing of the key in it."""
    make_keys(tmp_path / "mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.pub").write_text("secret")
    done = a3cp("verify", str(signed.root), *arguments, environ={}, folder=tmp_path)
    assert (done.returncode, done.stderr.count("\n"), "secret" in done.stderr) == (2, 1, False)
    assert told in done.stderr


def test_a_signing_key_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """Before anything is written, by the option and by the setting."""
    make_keys(tmp_path / "mine")
    for arguments, environ in (
        (("--sign-key", "mine.pub"), {}),
        ((), {"A3CP_SIGN_KEY_FILE": "mine.pub"}),
    ):
        known = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", **environ}
        done = a3cp("export", "--to", "root", *arguments, environ=known, folder=tmp_path)
        assert (done.returncode, "mine.pub holds no private Ed25519 key" in done.stderr) == (2, True)
        assert not (tmp_path / "root").exists()
