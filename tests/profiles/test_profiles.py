"""Profiles: what a person gave is kept in one place, can be read by those with the key only, and can be erased."""

from pathlib import Path

import pytest
from sqlalchemy import update

from processor.errors import UsageError
from processor.profiles import Profile, Profiles, Pseudonyms, open_profiles, site_key
from processor.profiles.pseudonyms import SITE_KEY_FILE
from processor.profiles.tables import LAYOUT, LAYOUTS
from processor.settings.model import Settings
from processor.store.opening import open_database

PSEUDONYMS = Pseudonyms(b"site key")


def opened(address: str, key: str | None = "a key") -> Profiles:
    return open_profiles(address, PSEUDONYMS, key)


def test_a_pseudonym_is_the_same_and_says_nothing() -> None:
    """However the address is written; another site's key makes another one."""
    found = PSEUDONYMS.of("Ann@Example.org")
    assert found == PSEUDONYMS.of(" ann@example.org ")
    assert found.startswith("person-")
    assert "ann" not in found
    assert PSEUDONYMS.of("Ann") != PSEUDONYMS.of("ann"), "an id is as it is"
    assert Pseudonyms(b"other").of("ann@example.org") != found
    assert "~" not in found, "it is no lane"


def test_what_is_kept_is_given_back(address: str) -> None:
    """Also by another process, and after a change; what is not named stays."""
    profiles = opened(address)
    pseudonym = profiles.pseudonym_of("ann@example.org", {"user_name": "Ann"})
    assert profiles.pseudonym_of("ann@example.org") == pseudonym
    again = opened(address)
    assert again.profile(pseudonym) == Profile("ann@example.org", {"user_name": "Ann"})
    assert again.profile("person-unknown") is None
    assert again.pseudonym("bob@example.org") == PSEUDONYMS.of("bob@example.org")
    assert again.profile(PSEUDONYMS.of("bob@example.org")) is None, "to ask keeps nothing"


def test_a_store_of_a_later_release_is_left_as_it_is(address: str) -> None:
    """It says so in one line, whatever is asked; one from before there was a layout gets its number."""
    profiles = opened(address)
    pseudonym = profiles.pseudonym_of("ann@example.org")
    database = open_database(address)
    with database.writing() as connection:
        LAYOUTS.drop(connection)
    assert opened(address).profile(pseudonym) is not None
    with database.writing() as connection:
        connection.execute(update(LAYOUTS).values(layout=LAYOUT + 1))
    later = opened(address)
    for ask in (lambda: later.profile(pseudonym), lambda: later.remove(pseudonym), lambda: later.shares.get("x")):
        with pytest.raises(UsageError, match=f"has the layout {LAYOUT + 1}, this release reads and writes {LAYOUT}"):
            ask()
    with database.writing() as connection:
        connection.execute(update(LAYOUTS).values(layout=LAYOUT))
    assert opened(address).profile(pseudonym) is not None


def test_a_resume_is_found_by_its_hash(address: str) -> None:
    """Each of several; the same one is kept once, however its members are ordered, and another person has it not."""
    profiles = opened(address)
    first = profiles.keep_resume("user_1", {"name": "Ann", "skills": ["Kafka"]})
    second = profiles.keep_resume("user_1", {"name": "Ann", "skills": ["Kafka", "Avro"]})
    assert first != second
    assert profiles.keep_resume("user_1", {"skills": ["Kafka"], "name": "Ann"}) == first
    assert opened(address).resume("user_1", first) == {"name": "Ann", "skills": ["Kafka"]}
    assert profiles.resume("user_1", second) == {"name": "Ann", "skills": ["Kafka", "Avro"]}
    assert profiles.resume("user_2", first) is None
    assert profiles.remove("user_1")
    assert profiles.resume("user_1", first) is None


def content(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("profiles.db*"))


def test_a_person_is_removed(address: str) -> None:
    """With profile and resumes; who has a resume alone is held too, and others stay."""
    profiles = opened(address)
    pseudonym = profiles.pseudonym_of("ann@example.org", {"user_name": "Ann"})
    others = profiles.pseudonym_of("bob@example.org")
    profiles.keep_resume("user_1", {"name": "Ann"})
    for user_id in (pseudonym, "user_1"):
        assert profiles.holds(user_id)
        assert profiles.remove(user_id)
        assert not profiles.holds(user_id)
        assert not profiles.remove(user_id)
    assert profiles.profile(pseudonym) is None
    assert profiles.profile(others) == Profile("bob@example.org", {})


@pytest.mark.parametrize("key", ["a key", None])
def test_what_is_removed_is_gone_from_the_files(key: str | None, tmp_path: Path) -> None:
    """Not only from the table: neither SQLite's database nor its log holds it any more."""
    profiles = opened(f"sqlite:///{tmp_path / 'profiles.db'}", key)
    pseudonym = profiles.pseudonym_of("ann@example.org", {"user_name": "Ann Example"})
    profiles.keep_resume(pseudonym, {"name": "Ann Example"})
    profiles.keep_resume("user_1", {"name": "Bob Example"})
    assert (b"Ann Example" in content(tmp_path)) is (key is None), "encrypted if there is a key"
    assert profiles.remove(pseudonym)
    assert profiles.remove("user_1")
    assert pseudonym.encode() not in content(tmp_path)
    assert b"Example" not in content(tmp_path)


@pytest.mark.parametrize("key", ["another key", None])
def test_another_key_reads_nothing(key: str | None, address: str) -> None:
    """It says so, rather than take the person for an unknown one."""
    pseudonym = opened(address).pseudonym_of("ann@example.org")
    with pytest.raises(UsageError, match="another key"):
        opened(address, key).profile(pseudonym)


def test_the_site_key_is_made_once(tmp_path: Path) -> None:
    """Beside the store, for its owner's eyes; what is set counts instead, and where no file can be it must be set."""
    store = f"sqlite:///{tmp_path / 'a3cp.db'}"
    key, file = site_key(None, store)
    assert file == tmp_path / SITE_KEY_FILE
    assert file.stat().st_mode & 0o777 == 0o600
    assert site_key(None, store) == (key, file)
    assert site_key("mine", store) == (b"mine", None)
    file.write_text("")
    with pytest.raises(UsageError, match="too short"):
        site_key(None, store)
    for away in ("postgresql://h/d", f"sqlite:///{tmp_path}/no/a3cp.db"):
        with pytest.raises(UsageError, match="A3CP_SITE_KEY"):
            site_key(None, away)


def test_no_key_is_left_in_just_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the default store, a key is made in the current folder only if a store is there."""
    monkeypatch.chdir(tmp_path)
    default = str(Settings.model_fields["store_url"].default)
    with pytest.raises(UsageError, match="no store yet"):
        site_key(None, default)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a3cp.db").touch()
    assert site_key(None, default)[1] == tmp_path / SITE_KEY_FILE
    (tmp_path / "a3cp.db").unlink()
    assert site_key(None, default)[1] == tmp_path / SITE_KEY_FILE
