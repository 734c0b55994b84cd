"""Where settings come from, which wins, and what is said of a wrong one."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from processor.core.model import BUILT_IN_TEMPLATES, DAY_MS, IdFormat, Policy, Rules
from processor.errors import UsageError
from processor.settings.model import OWNED, Settings
from processor.settings.sources import Option, load

CANARY = "c4n4ry"
QUIET = {"log_level": "0"}


def test_nothing_set_means_the_rules_defaults(tmp_path: Path) -> None:
    """The defaults of the settings and of the rules are the same."""
    settings, warnings, notes = load({}, tmp_path)
    assert settings.rules() == Rules()
    assert settings.kafka_conf() == QUIET
    assert settings.topics() == ("a3cp.raw", "a3cp.tagged", "a3cp.sessions", "a3cp.state", "a3cp.dlq")
    assert warnings == notes == ()


def test_every_rule_can_be_set(tmp_path: Path) -> None:
    """Each setting of the rules arrives in them."""
    environ = {
        "A3CP_GAP_MS": "1", "A3CP_MAX_SESSION_MS": "2", "A3CP_PAUSE_MS": "3", "A3CP_LATE_HORIZON_MS": "4",
        "A3CP_QUIET_MS": "0", "A3CP_SKEW_MS": "6", "A3CP_SESSION_ID_FORMAT": "SHORT", "A3CP_PASSIVE_SOURCES": "a, b,",
        "A3CP_TEMPLATES__PLAY__GAP_MS": "7",
    }  # fmt: skip
    templates = {**BUILT_IN_TEMPLATES, "play": Policy(7)}
    assert load(environ, tmp_path).settings.rules() == Rules(
        1, 2, 3, 4, 0, 6, IdFormat.SHORT, frozenset({"a", "b", "canary"}), templates
    )
    assert load({"A3CP_PASSIVE_SOURCES": ""}, tmp_path).settings.passive_sources == frozenset()


def test_a_template_of_ones_own_goes_over_one_that_is_built_in(tmp_path: Path) -> None:
    """What it leaves out stays as it is built in, and so do the others."""
    assert load({}, tmp_path).settings.rules() == Rules()
    templates = load({"A3CP_TEMPLATES__INTERVIEW__GAP_MS": "5"}, tmp_path).settings.rules().templates
    assert templates == {**BUILT_IN_TEMPLATES, "interview": Policy(5, pause_ms=DAY_MS)}


def test_the_environment_wins_over_secrets_over_the_file(tmp_path: Path) -> None:
    """Each source fills in what those before it leave open, property by property."""
    (tmp_path / "a3cp.toml").write_text(
        """
        gap_ms = 1
        quiet_ms = 2
        bootstrap_servers = "file:1"
        passive_sources = ["x"]
        [kafka]
        security.protocol = "SASL_SSL"
        sasl.username = "file"
        "sasl.password" = "file"
        socket.keepalive.enable = true
        linger.ms = 3
        [templates.play]
        gap_ms = 5
        [templates.work]
        pause_ms = 6
        """
    )
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "a3cp_kafka__sasl__password").write_text("secret\n")
    (secrets / "A3CP_KAFKA__SASL__USERNAME").write_text("secret")
    (secrets / ".hidden").write_text("x")
    environ = {
        "A3CP_SECRETS_DIR": str(secrets),
        "A3CP_GAP_MS": "10",
        "A3CP_KAFKA__SASL__USERNAME": "environment",
        "A3CP_TEMPLATES__PLAY__PAUSE_MS": "7",
        "A3CP_CONFIG": str(tmp_path / "a3cp.toml"),
    }
    settings, warnings, notes = load(environ, tmp_path)
    assert (settings.gap_ms, settings.quiet_ms, settings.passive_sources) == (10, 2, frozenset({"x"}))
    assert settings.kafka_conf() == QUIET | {
        "bootstrap.servers": "file:1",
        "security.protocol": "SASL_SSL",
        "sasl.username": "environment",
        "sasl.password": "secret",
        "socket.keepalive.enable": "true",
        "linger.ms": "3",
    }
    own = {"play": Policy(5, None, 7), "work": Policy(None, None, 6)}
    assert settings.rules().templates == {**BUILT_IN_TEMPLATES, **own}
    assert warnings == notes == ()
    assert load({"KAFKA_BOOTSTRAP_SERVERS": "b:1"}, tmp_path).settings.kafka_conf()["bootstrap.servers"] == "b:1"


@pytest.mark.parametrize(
    ("variable", "property_name"),
    [
        ("A3CP_KAFKA__SASL__USERNAME", "sasl.username"),
        ("A3CP_KAFKA__SASL_USERNAME", "sasl.username"),
        ("A3CP_KAFKA__QUEUED_MAX_MESSAGES_KBYTES", "queued.max.messages.kbytes"),
        ("a3cp_kafka__debug", "debug"),
    ],
)
def test_how_variables_name_properties(tmp_path: Path, variable: str, property_name: str) -> None:
    """Underscores, single or double, are dots; case does not matter."""
    assert load({variable: "v"}, tmp_path).settings.kafka_conf() == QUIET | {property_name: "v"}


PLACES = {"A3CP_TOPIC_PREFIX": "variable", "KAFKA_BOOTSTRAP_SERVERS": "variable:1", "A3CP_STORE_URL": "variable"}


def test_options_win_over_all(tmp_path: Path) -> None:
    """What the command line does not say stays as it was."""
    options = {"topic_prefix": Option("--prefix", "option"), "bootstrap_servers": Option("--bootstrap", "option:1")}
    settings = load({**PLACES, "a3cp_topic_prefix": "lower"}, tmp_path, options).settings
    assert (settings.topic_prefix, settings.bootstrap_servers) == ("option", "option:1")
    assert settings.store_url == "variable"


@pytest.mark.parametrize("environ", [{}, PLACES])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            f"{CANARY}/",
            "--prefix is not as wanted: text that matches the pattern [^;]*; docs/configuration.md has every",
        ),
        ("", "--prefix is empty; say which, or leave it out"),
        (" ", "--prefix is empty; say which, or leave it out"),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, environ: dict[str, str], value: str, said: str) -> None:
    """The option, once, and not a variable; empty is wrong, also where it is for a variable to be unset."""
    option = Option("--prefix", value)
    for options in ({"topic_prefix": option}, {"topic_prefix": option, "group_id": option}):
        with pytest.raises(UsageError, match=f"^{said}") as raised:
            load(environ, tmp_path, options)
        assert CANARY not in str(raised.value)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"A3CP_GAP_MS": CANARY}, r"A3CP_GAP_MS is not as wanted: a whole number is wanted \(ms\)"),
        ({"A3CP_GAP_MS": "0"}, "A3CP_GAP_MS is not as wanted: at least 1 is wanted"),
        ({"A3CP_METRICS_PORT": "70000"}, "A3CP_METRICS_PORT is not as wanted: .*65535"),
        ({"A3CP_METRICS_PORT": "65535", "A3CP_WORKERS": "2"}, "metrics_port leaves no room"),
        ({"A3CP_STRICT": CANARY}, "A3CP_STRICT is not as wanted: true or false is wanted"),
        ({"A3CP_LOG_FORMAT": CANARY}, "A3CP_LOG_FORMAT is not as wanted: .*'auto', 'json' or 'console'"),
        ({"A3CP_TOPIC_PREFIX": f"{CANARY}/"}, "A3CP_TOPIC_PREFIX is not as wanted"),
        ({"A3CP_TEMPLATES__PLAY__GAP_MS": CANARY}, "A3CP_TEMPLATES__PLAY__GAP_MS is not as wanted"),
        ({"A3CP_TEMPLATES__PLAY__SPEED": CANARY}, "A3CP_TEMPLATES__PLAY__SPEED is not as wanted"),
        ({"A3CP_TEMPLATES": f"{{{CANARY}"}, "A3CP_TEMPLATES cannot be read"),
        ({"A3CP_KAFKA": CANARY}, "A3CP_KAFKA cannot be read"),
        ({"A3CP_CONFIG": "/no/such/file"}, "/no/such/file cannot be read"),
        ({"A3CP_SECRETS_DIR": "/no/such/folder"}, "A3CP_SECRETS_DIR cannot be read"),
        *(({f"A3CP_KAFKA__{name.replace('.', '__')}": CANARY}, f"kafka.{name} cannot be set") for name in OWNED),
    ],
)
def test_a_wrong_value_is_named_but_never_quoted(tmp_path: Path, environ: dict[str, str], said: str) -> None:
    """Which variable, what it should be; not what it is, since one may have put a password into the wrong one."""
    secrets = {"A3CP_KAFKA__SASL__PASSWORD": CANARY, "A3CP_LOG_KEY": CANARY}
    with pytest.raises(UsageError, match=said) as raised:
        load({**secrets, **environ}, tmp_path)
    shown = f"{raised.value!s} {raised.value!r} {raised.value.__cause__!r}"
    assert CANARY not in shown
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"gap_ms = '{CANARY}'", "gap_ms in .*a3cp.toml is not as wanted"),
        ("gap_ms = true", "gap_ms in .*a3cp.toml is not as wanted: a whole number is wanted"),
        ("gap_ms = ", "a3cp.toml is no TOML"),
        ("[kafka]\ngroup.id = 'x'", "kafka.group.id cannot be set: set A3CP_GROUP_ID"),
        (f"templates.play.gap_ms = '{CANARY}'", "templates.play.gap_ms in .*a3cp.toml"),
        (f"kafka = '{CANARY}'", "kafka in .*a3cp.toml is not as wanted"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    """The file and the name in it."""
    (tmp_path / "a3cp.toml").write_text(text)
    with pytest.raises(UsageError, match=said) as raised:
        load({}, tmp_path)
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize(
    ("environ", "text", "said"),
    [
        ({}, '[kafka]\nplugin.library.paths = "x"', "kafka.plugin.library.paths in .* may load code"),
        ({}, '[kafka]\n"ssl.engine.location" = "x"', "kafka.ssl.engine.location in .* may load code"),
        ({}, '[kafka]\nsasl.kerberos.kinit.cmd = "x"', "kafka.sasl.kerberos.kinit.cmd in"),
        ({}, '[kafka]\nsasl.oauthbearer.token.endpoint.url = "http://x"', "kafka.sasl.oauthbearer.token.endpoint.url"),
        (
            {"A3CP_KAFKA__SASL__PASSWORD": CANARY},
            'bootstrap_servers = "x:1"',
            "the value of A3CP_KAFKA__SASL__PASSWORD",
        ),
        ({"A3CP_KAFKA__SSL_KEY_PASSWORD": CANARY}, "kafka.security.protocol = 'PLAINTEXT'", "A3CP_KAFKA__SSL_KEY_PASS"),
        (
            {"A3CP_KAFKA": f'{{"sasl.password": "{CANARY}"}}'},
            'bootstrap_servers = "x:1"',
            "the value of A3CP_KAFKA would",
        ),
        ({"PGPASSWORD": CANARY}, 'store_url = "postgresql://x/y"', "the login that PGPASSWORD holds"),
    ],
)
def test_the_current_folder_is_not_trusted(tmp_path: Path, environ: dict[str, str], text: str, said: str) -> None:
    """A file that lies in the folder loads no code and leads no secret elsewhere; the same file, named, may."""
    file = tmp_path / "a3cp.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=f"{said}.*; .*name it: A3CP_CONFIG={file}") as raised:
        load(environ, tmp_path)
    assert CANARY not in str(raised.value)
    assert load({**environ, "A3CP_CONFIG": str(file)}, tmp_path).notes == ()


def test_what_the_folder_may_say_is_told(tmp_path: Path) -> None:
    """A login of its own, an address beside no secret, rules: by their names; an address of the environment wins."""
    (tmp_path / "a3cp.toml").write_text("bootstrap_servers = 'x:1'\ngap_ms = 1\nkafka.sasl.password = 'p'\nkafka.X = 1")
    said = (
        f"settings from {tmp_path / 'a3cp.toml'}: bootstrap_servers, gap_ms, kafka.sasl.password, a name that is none"
    )
    assert load({}, tmp_path).notes == (said,)
    (tmp_path / "a3cp.toml").write_text("bootstrap_servers = 'x:1'")
    environ = {"KAFKA_BOOTSTRAP_SERVERS": "mine:1", "A3CP_KAFKA__SASL__PASSWORD": CANARY}
    assert load(environ, tmp_path).settings.bootstrap_servers == "mine:1"


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_a_file_that_is_none_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """What never ends is not read."""
    make(tmp_path / "a3cp.toml")
    with pytest.raises(UsageError, match=r"a3cp.toml cannot be read .it is no file.; remove it"):
        load({}, tmp_path)


def test_secrets_are_not_in_the_settings_own_text(tmp_path: Path) -> None:
    """Printing the settings, as a log or a debugger would, shows no secret."""
    settings = load({"A3CP_KAFKA__SASL__PASSWORD": CANARY, "A3CP_LOG_KEY": CANARY}, tmp_path).settings
    assert CANARY not in repr(settings)
    assert CANARY not in str(settings)


def test_unknown_names_are_told_with_the_nearest(tmp_path: Path) -> None:
    """A typo does not stop the program, but is said."""
    (tmp_path / "a3cp.toml").write_text(f"gap = 1\n{CANARY} = 1\n")
    settings, warnings, _ = load({"A3CP_GAP_MSS": "1", "A3CP_BOOTSTRAP_SERVERS": "x:1", "OTHER": "x"}, tmp_path)
    assert warnings == (
        "A3CP_BOOTSTRAP_SERVERS is no setting and has no effect; do you mean KAFKA_BOOTSTRAP_SERVERS?",
        "A3CP_GAP_MSS is no setting and has no effect; do you mean A3CP_GAP_MS?",
        f"gap in {tmp_path / 'a3cp.toml'} is no setting and has no effect; do you mean gap_ms?",
        f"a name that is none in {tmp_path / 'a3cp.toml'} is no setting and has no effect",
    )
    assert settings == Settings()


def test_settings_do_not_change(tmp_path: Path) -> None:
    """They are values, handed on."""
    with pytest.raises(ValueError, match="frozen"):
        load({}, tmp_path).settings.gap_ms = 1
