"""Where the settings' values come from, what is odd about them, and what a file that nobody named may not say.

Sources, the first that has a value wins: options of the command line, environment variables (`A3CP_*`,
`KAFKA_BOOTSTRAP_SERVERS`, `SCHEMA_REGISTRY_URL`), files in the folder A3CP_SECRETS_DIR (named as the variables,
whatever their case), the TOML file A3CP_CONFIG or ./a3cp.toml (names without `A3CP_`, lower case).
"""

import difflib
import errno
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource, SettingsError

from processor.errors import UsageError
from processor.settings.model import ELSEWHERE, PREFIX, UNPREFIXED, Settings, flat
from processor.settings.templates import over, templates_in
from processor.settings.wanted import in_words

_FILE_NAME: Final = "a3cp.toml"
_FILE_BYTES_MAX: Final = 1 << 20
_KAFKA_PREFIX: Final = "A3CP_KAFKA__"
_LETS_IN: Final = ("sasl.", "ssl.")  # how the properties begin that hold, or lead to, what lets one in
_HARMLESS: Final = frozenset(
    {
        "sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password", "ssl.ca.location", "ssl.ca.pem",
        "ssl.certificate.location", "ssl.certificate.pem", "ssl.endpoint.identification.algorithm", "ssl.key.location",
        "ssl.key.password", "ssl.key.pem",
    }
)  # fmt: skip
"""Of the properties that begin so or with `plugin.`, those that load no code, run no program and ask no other host."""
_is_name: Final = re.compile(r"[a-z][a-z_.]*").fullmatch
_POSTGRES_LOGIN: Final = ("PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE")


class Loaded(NamedTuple):
    """The settings, and what is odd about where they came from, in words for the log."""

    settings: Settings
    warnings: tuple[str, ...]
    notes: tuple[str, ...]  # which settings came from a file that nobody named


class Option(NamedTuple):
    """An option of the command line, and what was given."""

    name: str
    value: str


def load(environ: Mapping[str, str], folder: Path, options: Mapping[str, Option] = MappingProxyType({})) -> Loaded:
    """Return the settings.

    Args:
        environ: the environment variables.
        folder: where `a3cp.toml` is looked for.
        options: by the setting that they replace.

    Raises:
        UsageError: a value is not what its setting wants, a named file cannot be read, or `a3cp.toml` of the folder
            says what only a named file may. Values are never quoted, since one of them may be a secret.
    """
    for option in options.values():
        if not option.value.strip():  # Of a variable that is not set, mostly; what it should say is not the default.
            raise UsageError(f"{option.name} is empty", remedy="say which, or leave it out")
    variables = {**_secrets(environ), **{name.upper(): value for name, value in environ.items()}}
    variables |= {_variable(field): option.value for field, option in options.items()}
    path, document = _document(environ, folder)
    notes: tuple[str, ...] = ()
    if document and not environ.get("A3CP_CONFIG"):
        _refuse_untrusted(document, path, variables)
        _refuse_hooks(document.get("templates"), path)
        notes = (f"settings from {path}: {', '.join(_shown_names(document))}",)
    try:
        values = _merged(document, _Variables(variables)())
    except SettingsError as error:
        name = next((name for name in Settings.model_fields if f'"{name}"' in str(error)), "")
        raise UsageError(f"{_variable(name)} cannot be read", remedy="see docs/configuration.md for its form") from None
    if named := str(values.get("templates_file") or "").strip():
        read = _templates(Path(named))
        values["templates"] = over(read, values.get("templates", {}))
        if notes and "templates_file" in document:
            _refuse_hooks(read, path)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        problems = "; ".join(dict.fromkeys(_problems(error, options, variables, path)))
        raise UsageError(problems, remedy="docs/configuration.md has every setting") from None
    return Loaded(settings, (*_unknown_variables(variables), *_unknown_names(document, path)), notes)


class _Variables(EnvSettingsSource):
    """pydantic's reading of environment variables, from a mapping instead of the process's environment."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        # Properties of librdkafka have no underscores, so A3CP_KAFKA__SASL_USERNAME means what …__SASL__USERNAME means.
        self._variables = {
            name.lower(): value for name, value in variables.items() if not name.startswith(_KAFKA_PREFIX)
        }
        self._kafka = {
            name[len(_KAFKA_PREFIX) :].replace("__", ".").replace("_", ".").lower(): value
            for name, value in variables.items()
            if name.startswith(_KAFKA_PREFIX)
        }
        for field, name in UNPREFIXED.items():
            self._variables.pop(PREFIX.lower() + field, None)
            if name.lower() in self._variables:
                self._variables[PREFIX.lower() + field] = self._variables[name.lower()]
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._variables

    def __call__(self) -> dict[str, Any]:
        values = super().__call__()
        if self._kafka:
            values["kafka"] = {**dict(flat(values.get("kafka", {}))), **self._kafka}
        return values


def secret_of(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the value of a variable that settings name, or of its file in A3CP_SECRETS_DIR. Raises as `load`."""
    return environ.get(name) or _secrets(environ).get(name.upper())


def _secrets(environ: Mapping[str, str]) -> dict[str, str]:
    named = environ.get("A3CP_SECRETS_DIR")
    if not named:
        return {}
    try:
        files = [path for path in Path(named).iterdir() if path.is_file() and not path.name.startswith(".")]
        return {path.name.upper(): path.read_text("utf-8").strip() for path in files}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"A3CP_SECRETS_DIR cannot be read ({type(error).__name__})", remedy="name a folder of text files"
        ) from None


def _document(environ: Mapping[str, str], folder: Path) -> tuple[Path, dict[str, Any]]:
    named = environ.get("A3CP_CONFIG")
    path = Path(named) if named else folder / _FILE_NAME
    if not named and not path.exists():
        return path, {}
    try:
        document = tomllib.loads(_text(path))
    except OSError as error:
        remedy = "A3CP_CONFIG names it" if named else "remove it, or name another with A3CP_CONFIG"
        raise UsageError(f"the settings file {path} cannot be read ({error.strerror})", remedy=remedy) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # The parser says what it expected and where; it quotes single characters at most.
        raise UsageError(f"the settings file {path} is no TOML: {error}") from None
    if isinstance(document.get("kafka"), dict):
        document["kafka"] = dict(flat(document["kafka"]))
    return path, document


def _templates(path: Path) -> dict[str, Any]:
    try:
        return templates_in(_text(path))
    except OSError as error:
        why = f"cannot be read ({error.strerror})"
    except UnicodeDecodeError:
        why = "is not UTF-8"
    except ValueError as error:
        why = f"is not as wanted: {error}"
    raise UsageError(f"the templates file {path} {why}", remedy="docs/templates.md has its form")


def _text(path: Path) -> str:
    if path.exists() and not path.is_file():  # A pipe would never end.
        raise OSError(errno.EINVAL, "it is no file")
    with path.open("rb") as file:
        content = file.read(_FILE_BYTES_MAX + 1)
    if len(content) > _FILE_BYTES_MAX:
        raise OSError(errno.EFBIG, f"it has more than {_FILE_BYTES_MAX:,} bytes")
    return content.decode("utf-8")


def _refuse_untrusted(document: Mapping[str, Any], path: Path, variables: Mapping[str, str]) -> None:
    """Refuse what the maker of a folder must not decide for those who happen to be in it.

    That is code to load, programs to run, and where the secrets go that the environment holds.
    """
    trust = f"if you trust the file, name it: A3CP_CONFIG={path}"
    kafka = document.get("kafka")
    properties = list(kafka) if isinstance(kafka, dict) else []
    for name in properties:
        if name.startswith(("plugin.", *_LETS_IN)) and name not in _HARMLESS:
            raise UsageError(f"kafka.{name} in {path} may load code or ask another host", remedy=trust)
    secret = next((name for name in sorted(variables) if _lets_into_kafka(name)), None)
    is_address_its = "bootstrap_servers" in document and "KAFKA_BOOTSTRAP_SERVERS" not in variables
    if secret is not None and (is_address_its or properties):
        raise UsageError(
            f"{path} says how Kafka is reached, and the value of {secret} would go there",
            remedy=f"take bootstrap_servers and kafka out of the file and set KAFKA_BOOTSTRAP_SERVERS, or {trust}",
        )
    secret = next((name for name in _POSTGRES_LOGIN if variables.get(name)), None)
    if secret is not None and not str(document.get("store_url", "sqlite:")).startswith("sqlite:"):
        raise UsageError(
            f"{path} says where the store is, and the login that {secret} holds would go there",
            remedy=f"take store_url out of the file and set A3CP_STORE_URL, or {trust}",
        )


def _refuse_hooks(templates: object, path: Path) -> None:
    """Refuse receivers of what is said in sessions, if the file `path` names them or leads to them."""
    every = templates.items() if isinstance(templates, Mapping) else ()
    names = [str(name) for name, template in every if isinstance(template, Mapping) and template.get("hooks")]
    if names:
        raise UsageError(
            f"by {path}, others would be told of sessions of the template {_shown_name(names[0])}",
            remedy=f"if you trust the file, name it: A3CP_CONFIG={path}",
        )


def _lets_into_kafka(variable: str) -> bool:
    name = variable.removeprefix(_KAFKA_PREFIX).replace("_", ".").lower()
    return variable == "A3CP_KAFKA" or (variable.startswith(_KAFKA_PREFIX) and name.startswith(_LETS_IN))


def _shown_names(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names in a file, those of properties in full; what looks like a value in a wrong place is not shown."""
    for name, value in document.items():
        inner = value if name == "kafka" and isinstance(value, Mapping) else {}
        yield from (_shown_name(f"kafka.{below}") for below in inner)
        if not inner:
            yield _shown_name(name)


def _shown_name(name: str) -> str:
    return name if _is_name(name) else "a name that is none"


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _variable(field: str) -> str:
    return UNPREFIXED.get(field, PREFIX + field.upper())


def _problems(
    error: ValidationError, options: Mapping[str, Option], variables: Mapping[str, str], path: Path
) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_input=False):
        wanted = in_words(problem)
        if not problem["loc"]:
            yield wanted
            continue
        field = str(problem["loc"][0])
        below = [str(part) for part in problem["loc"][1:]]
        variable = "__".join([_variable(field), *(part.upper() for part in below)])
        dotted = ".".join([field, *below])
        name = variable if variable in variables else f"{dotted} in {path}"
        if field in options:
            name = options[field].name
        info = Settings.model_fields.get(field)
        unit = (
            str(info.json_schema_extra.get("unit") or "") if info and isinstance(info.json_schema_extra, dict) else ""
        )
        yield f"{name} is not as wanted: {wanted}{f' ({unit})' if unit else ''}"


def _unknown_variables(variables: Mapping[str, str]) -> Iterator[str]:
    known = [*(_variable(field) for field in Settings.model_fields), *ELSEWHERE]
    for name in sorted(variables):
        inner = name.startswith((_KAFKA_PREFIX, "A3CP_TEMPLATES__"))
        if name.startswith(PREFIX) and not inner and name not in known:
            yield f"{name} is no setting and has no effect{_nearest(name, known)}"


def _unknown_names(document: Mapping[str, Any], path: Path) -> Iterator[str]:
    known = list(Settings.model_fields)
    for name in document:
        if name not in known:
            yield f"{_shown_name(name)} in {path} is no setting and has no effect{_nearest(name, known)}"


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; do you mean {near[0]}?" if near else ""
