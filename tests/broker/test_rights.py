"""The rights of ops/acl: with them each principal does its work, and nothing beyond it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # Its stub forgets to re-export them.
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from processor.kafka.topics.admin import ensure_topics
from tests.broker.fleet import TIMEOUT_S, Worker, await_true, message, produce
from tests.broker.probing import Probe
from tests.broker.rights import Use, give, rights, take_back, uses
from tests.broker.secured import PASSWORD, Secured, secured
from tests.broker.services import Service
from tests.cli.running import PROGRAM, a3cp
from tests.commands import ALL_COMMANDS
from tests.hooks.receiver import SECRET, Answers, Receiver, json_answer

pytestmark = [pytest.mark.broker, pytest.mark.long]

CANARY = "c4n4ry-of-keys-and-logs"
EXAMPLES = Path(__file__).parents[2] / "examples" / "messages.jsonl"
WITHOUT_KAFKA = {
    "a3cp broker up", "a3cp broker down", "a3cp broker status", "a3cp keys new", "a3cp token new", "a3cp sessions list",
    "a3cp sessions show", "a3cp sessions search", "a3cp sessions timeline", "a3cp what-if", "a3cp retention",
}  # fmt: skip
AS_SEVERAL = {"a3cp demo", "a3cp up", "a3cp replay"}  # They are several principals at once; see test_security.py.
LIKE_ANOTHER = {"a3cp topics adopt"}  # It does what `topics grow` does; see test_operations.py.
SELDOM = {
    ("a3cp-exporter", "a3cp-reader"),
    ("a3cp-processor", "a3cp-reader"),
}  # They read something once more, or look.
SERVICES = {"a3cp process", "a3cp serve", "a3cp hooks", "a3cp canary"}
GROWN = 8  # partitions at the end
JOBS = {
    "producer": [
        "produce {examples}", "produce --unchecked {broken}", "session start ann --template play",
        "session note ann hello", "session context ann place=home", "session tag ann calm", "session touch ann",
        "session pause ann", "session resume ann", "session end ann",
    ],
    "exporter": ["export --to {bundles}"],
    "sealer": ["seal {bundles} --day 2025-09-02"],
    "admin": [
        "topics plan", "topics apply", "doctor", "status", "audit", "tail tagged --from beginning -n 1",
        "state show ben",
        "dlq list", "dlq show {letter}", "dlq retry", "verify --topic", "erase ann --proof {proof} --to {bundles}",
    ],
}  # fmt: skip
ALONE = f"topics grow --partitions {GROWN}"  # The admin's, once nobody else runs.


def alter_retention(admin: AdminClient, topic: str) -> None:
    """Let a topic keep its records for another time than its file says."""
    hour = ConfigEntry("retention.ms", "3600000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[hour])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result()


class Hooks(Worker):
    """One `a3cp hooks`."""

    command = "hooks"


class Canary(Worker):
    """One `a3cp canary`."""

    command = "canary"


class Site:
    """A guarded Kafka with the rights of ops/acl, where each process and person comes in with a name of its own."""

    def __init__(self, folder: Path, kafka: Secured) -> None:
        self.folder, self.kafka, self.rights = folder, kafka, list(rights())
        for name in {right.principal for right in self.rights}:
            kafka.let_in(name)
        self.admin = kafka.admin()
        give(self.admin, self.rights)
        self.more = {"A3CP_LOG_LEVEL": "debug", "A3CP_SITE_KEY": CANARY, "A3CP_LOG_KEY": CANARY}
        self.said: list[str] = []

    def environ(self, role: str) -> dict[str, str]:
        """Return the environment of who comes in as `a3cp-ROLE`."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("A3CP_", "KAFKA_"))}
        # Who stands still for a moment is at work still: each leaves its group by itself.
        quick = {"A3CP_LOG_FORMAT": "json", "A3CP_SESSION_TIMEOUT_MS": "30000", "A3CP_PUNCTUATE_MS": "100"}
        store = {"A3CP_STORE_URL": f"sqlite:///{self.folder / 'a3cp.db'}"}
        return {**kept, **quick, **store, **self.kafka.environ("SCRAM", f"a3cp-{role}"), **self.more}

    def run(self, role: str, words: str) -> str:
        """Run a command and return what it says; it must not fail."""
        done = a3cp(*words.split(), environ=self.environ(role), folder=self.folder)
        sys.stdout.write(f"{role}$ a3cp {words}\n{done.stdout}{done.stderr}")
        self.said.append(done.stdout + done.stderr)
        assert done.returncode == 0 or "produce" in words, done.stderr  # The examples have messages that are refused.
        return self.said[-1]

    def used(self) -> set[Use]:
        """Return what all but the test did, and were refused."""
        found = uses(self.folder / "kafka" / "broker.log")
        return {use for use in found if use.principal != "ANONYMOUS"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("rights")
    with secured(folder) as kafka:
        yield Site(folder, kafka)


def test_each_does_its_work_with_its_rights_alone(site: Site) -> None:
    """All commands and processes, each with its own name and password. Nothing is refused, and no right is idle."""
    broken, proof, bundles = (site.folder / name for name in ("broken.jsonl", "proof.json", "bundles"))
    broken.write_text('{"user_id": "ben"}\n')
    named = {"examples": EXAMPLES, "broken": broken, "proof": proof, "bundles": bundles}
    with ExitStack() as lives:
        receiver = lives.enter_context(
            Receiver(lambda came: json_answer({"note": "hi"}) if "start" in came.payload["type"] else Answers(404))
        )
        hook = {"url": receiver.url, "secret": "HOOK_SECRET", "at": ["start", "end"], "patience_ms": 1_000}
        templates = site.folder / "templates.json"
        templates.write_text(json.dumps({"play": {"hooks": {"all": hook}}}))
        site.more |= {"A3CP_TEMPLATES_FILE": str(templates), "HOOK_SECRET": SECRET}

        def started(kind: type[Worker], role: str, *arguments: str) -> Worker:
            worker = kind(site.environ(role), site.folder / f"{role}.log", arguments)
            lives.callback(lambda: sys.stdout.write(worker.log_file.read_text()[-4_000:]))
            lives.callback(worker.kill)
            return worker

        site.run("admin", "topics apply")
        processor = started(Worker, "processor")
        hooks, canary = started(Hooks, "hooks"), started(Canary, "canary", "--every", "1")
        service, corner = (started(Service, role, "--port", "0") for role in ("serve", "serve-operators"))
        await_true("the hooks have partitions", lambda: hooks.said("partitions assigned"))
        for words in JOBS["producer"]:
            site.run("producer", words.format(**named))
        produce(site.kafka.plain, "a3cp.raw", iter([("ben", message("ben", 1_760_000_000_000))]), 1)
        assert isinstance(service, Service)
        assert isinstance(corner, Service)
        begun = service.ready().post("/v1/sessions", json={"user_id": "ben", "template": "play"})
        assert begun.status_code == 201, begun.text
        await_true("the hooks have dead letters", lambda: "status 404" in hooks.log_file.read_text())
        assert processor.stop() == 0
        said = {"user_id": "ben", "timestamp": "2026-01-01T00:00:00.000Z", "source": "ui"}
        assert corner.ready().post("/v1/messages", json=said).status_code == 202
        await_true("operators see what waits", lambda: sees_all(corner))
        processor = started(Worker, "processor")
        assert service.http.post(f"/v1/sessions/{begun.json()['session_id']}/end", timeout=60).status_code == 200
        for role in ("exporter", "sealer"):
            for words in JOBS[role]:
                site.run(role, words.format(**named))
        alter_retention(site.admin, "a3cp.tagged")  # So that `topics apply` has something to set.
        for words in JOBS["admin"]:
            if "{letter}" in words:
                listed = json.loads(site.run("admin", "dlq list --json"))
                named["letter"] = listed["letters"][0]["position"]
            site.run("admin", words.format(**named))
        site.said.append(service.http.get("/metrics").text)
        assert processor.stop() == service.stop() == corner.stop() == hooks.stop() == canary.stop() == 0
    site.run("exporter", f"export --to {bundles}")
    # Nobody is there to be asked, so it writes the states itself.
    site.run("admin", f"erase ben --proof {proof}.2 --to {bundles}")
    site.run("admin", ALONE)
    used = site.used()
    assert [use for use in sorted(used) if not use.is_allowed] == []
    idle = [right for right in site.rights if not any(use.is_allowed and right.serves(use) for use in used)]
    assert [right for right in idle if (right.principal, right.name) not in SELDOM] == []


def sees_all(service: Service) -> bool:
    """Whether the operators' corner can tell of all parts, of a message that waits among others."""
    told = service.http.get("/v1/operations").json()
    return bool(told["unknown"] == {} and told["processor"]["records"] > 0)


def test_no_secret_is_anywhere(site: Site) -> None:
    """Not in what was said at any level, in metrics, logs, the store or bundles: neither passwords nor keys."""
    files = [
        path for path in site.folder.rglob("*") if path.is_file() and not path.is_relative_to(site.folder / "kafka")
    ]
    assert {".log", ".db", ".html"} <= {path.suffix for path in files}
    texts = {"what was said": "".join(site.said), **{str(path): path.read_text("latin-1") for path in files}}
    assert [name for name, text in texts.items() if any(word in text for word in (PASSWORD, CANARY, SECRET))] == []


def test_no_command_is_left_out() -> None:
    """Each command that speaks to Kafka is tried as its principal above, or as several in test_security.py."""
    words = {line.split("{")[0] for lines in JOBS.values() for line in lines} | {ALONE}
    tried = {name for name in ALL_COMMANDS if any(f"a3cp {line}".startswith(name) for line in words)}
    assert sorted(tried | SERVICES | AS_SEVERAL | LIKE_ANOTHER | WITHOUT_KAFKA) == sorted(ALL_COMMANDS)
    assert not tried & WITHOUT_KAFKA


SERVICE_OF_OPERATORS = "serve-operators"
READERS = ["serve", SERVICE_OF_OPERATORS, "hooks", "admin"]
EVERYBODY = ["processor", "producer", "exporter", "sealer", "canary", *READERS]
ALLOWED = {
    ("read", "a3cp.raw"): ["processor", "admin", SERVICE_OF_OPERATORS],
    ("read", "a3cp.state"): ["processor", *READERS],
    ("read", "a3cp.tagged"): ["exporter", "canary", *READERS],
    ("read", "a3cp.sessions"): ["producer", "exporter", *READERS],
    ("read", "a3cp.dlq"): ["admin", SERVICE_OF_OPERATORS],
    ("read", "other"): [],
    ("write", "a3cp.raw"): ["processor", "producer", "canary", *READERS],
    ("write", "a3cp.state"): ["processor", "admin"],
    ("write", "a3cp.tagged"): ["processor"],
    ("write", "a3cp.sessions"): ["processor", "sealer"],
    ("write", "a3cp.dlq"): ["processor", "hooks", "admin"],
    ("write", "other"): [],
    ("join", "a3cp-session-manager"): ["processor", "admin"],
    ("join", "a3cp-session-manager-export-1"): ["exporter", "admin"],
    ("join", "a3cp-session-manager-hooks"): ["hooks", "admin"],
    ("join", "another"): [],
    ("transact", "a3cp-session-manager-0-0"): ["processor"],
    ("transact", "another"): [],
    ("create", "a3cp.more"): ["admin"],
    ("create", "more"): [],
    ("alter", "a3cp.tagged"): ["admin"],
    ("delete", "a3cp.tagged"): [],
    ("give_rights", "a3cp-producer"): [],
}


def make_topics(site: Site) -> None:
    """Make ours and one that is none of ours, where they are not there yet."""
    ensure_topics({"bootstrap.servers": site.kafka.plain}, partitions=GROWN)
    if "other" not in site.admin.list_topics(timeout=TIMEOUT_S).topics:
        site.admin.create_topics([NewTopic("other", 1, 1)])["other"].result()


@pytest.mark.parametrize("role", EVERYBODY)
def test_each_is_refused_all_else(site: Site, role: str) -> None:
    """Tried with the client itself, whatever our own code would do."""
    make_topics(site)
    probe = Probe(site.kafka.kafka("SCRAM", f"a3cp-{role}"))
    found = {(what, *names): getattr(probe, what)(*names) for what, *names in ALLOWED}
    assert found == {what: role in roles for what, roles in ALLOWED.items()}


def examined(site: Site, role: str) -> dict[str, dict[str, str]]:
    """Return what the doctor says as `role`, by check."""
    done = a3cp("doctor", "--json", environ=site.environ(role), folder=site.folder)
    sys.stdout.write(done.stdout)
    return {one["check"]: one for one in json.loads(done.stdout)["checks"]}


@pytest.mark.parametrize(
    ("role", "enough"),
    [
        ("processor", "process, produce, seal"),
        ("producer", "produce"),
        ("exporter", "export"),
        ("sealer", "seal"),
        ("canary", "canary, produce"),
        ("serve", "export, canary, serve, produce"),
        (SERVICE_OF_OPERATORS, "export, canary, serve, produce"),
        ("hooks", "export, canary, serve, hooks, produce"),
        ("admin", "export, canary, serve, hooks, produce"),
    ],
)
def test_the_doctor_knows_what_each_may_do(site: Site, role: str, enough: str) -> None:
    """It says for which commands the rights are enough, and calls nothing wrong that this user merely may not see."""
    make_topics(site)
    await_true("the topics are there for everybody", lambda: "rights" in examined(site, role))
    found = examined(site, role)
    said = found["rights"]["what"].partition(";")[0]
    assert said == "enough for " + ", ".join(f"a3cp {word}" for word in enough.split(", "))
    assert [check for check, one in found.items() if one["state"] == "wrong"] == []


@pytest.mark.parametrize(
    ("role", "words", "missing", "told"),
    [
        ("producer", "produce {examples}", "WRITE topic a3cp.raw", "Write on topic a3cp.raw"),
        ("exporter", "export", "READ topic a3cp.tagged", "Read on topics a3cp.tagged"),
        ("exporter", "export", "READ group a3cp-session-manager-export-", "Read on its consumer group"),
        ("admin", "topics apply", "ALTER_CONFIGS topic a3cp.", "AlterConfigs on topic a3cp.tagged"),
        ("admin", "audit", "READ topic a3cp.", "Read on topic a3cp."),
        ("processor", "process", "WRITE transactional_id a3cp-session-manager-", "Write on transactional ids"),
        ("processor", "process", "READ topic a3cp.raw", "Read on topic a3cp.raw"),
        ("processor", "process", "WRITE topic a3cp.tagged", "Write on that topic"),
    ],
)
def test_a_missing_right_is_told(site: Site, role: str, words: str, missing: str, told: str) -> None:
    """Who lacks which right on what, and where to find what is needed, in one line."""
    make_topics(site)
    alter_retention(site.admin, "a3cp.tagged")
    for topic in ("a3cp.raw", "a3cp.tagged"):  # So that there is something to read, whichever test came before.
        produce(site.kafka.plain, topic, iter([("eve", message("eve", 1_760_000_000_000))]))
    operation, kind, name = missing.split()
    right = next(
        right
        for right in site.rights
        if (right.principal, right.operation, right.kind, right.name) == (f"a3cp-{role}", operation, kind, name)
    )
    describe = right._replace(operation="DESCRIBE")
    give(site.admin, [describe])
    take_back(site.admin, right)
    try:
        done = subprocess.run(
            [*PROGRAM, *words.format(examples=EXAMPLES).split()], env=site.environ(role), cwd=site.folder,
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    finally:
        give(site.admin, [right])
        take_back(site.admin, describe)
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert f"give User:a3cp-{role} {told}" in said
    assert "Traceback" not in said


def test_a_topic_that_is_not_seen_may_lack_a_right(site: Site) -> None:
    """The broker says of such a topic that it does not exist."""
    done = a3cp("tail", "raw", environ=site.environ("exporter"))
    assert "no topic a3cp.raw" in done.stderr
    assert "without the right Describe" in done.stderr
