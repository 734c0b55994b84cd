"""Session templates: named kinds of sessions. What one may say, and those that are built in; docs/templates.md."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from processor.core.model import BUILT_IN_TEMPLATES, DAY_MS, HOUR_MS, Policy
from processor.settings.addresses import is_web_address
from processor.settings.contexts import checked
from processor.settings.wanted import WholeNumbers, in_words

YEAR_MS: Final = 366 * DAY_MS
_NAME: Final = r"^\S(.{0,62}\S)?$"

Limit = Annotated[int, Field(ge=1, le=YEAR_MS)]
Word = Annotated[str, Field(pattern=_NAME)]
HookName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


class _Part(WholeNumbers):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Hook(_Part):
    """A receiver that is told of the sessions of a template; docs/hooks.md."""

    url: Annotated[str, Field(repr=False)]
    secret: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """The variable, or file in A3CP_SECRETS_DIR, that holds what deliveries are signed with."""
    at: frozenset[Literal["start", "end"]] = frozenset()
    every_messages: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    last_messages: Annotated[int, Field(ge=0, le=200)] = 20
    timeout_ms: Annotated[int, Field(ge=100, le=120_000)] = 10_000
    patience_ms: Annotated[int, Field(ge=0, le=HOUR_MS)] = 300_000

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        if not is_web_address(url):
            raise ValueError("an address is http://host:port/path or https://host/path")
        return url

    @model_validator(mode="after")
    def _is_told_something(self) -> "Hook":
        if not self.at and self.every_messages is None:
            raise ValueError("a hook needs `at` (start, end) or `every_messages`")
        return self


class Template(_Part):
    """A named kind of sessions. Of the limits, what is left out is as for all sessions."""

    title: Word | None = None
    gap_ms: Limit | None = None
    max_session_ms: Limit | None = None
    pause_ms: Limit | None = None
    config_schema: dict[str, Any] | None = None
    phases: Annotated[dict[Word, tuple[Word, ...]], Field(min_length=1)] | None = None
    hooks: dict[HookName, Hook] = Field(default_factory=dict)

    @property
    def policy(self) -> Policy:
        """Its limits, as the rules want them."""
        return Policy(self.gap_ms, self.max_session_ms, self.pause_ms)

    @field_validator("config_schema")
    @classmethod
    def _is_schema(cls, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        return None if schema is None else checked(schema)

    @field_validator("phases")
    @classmethod
    def _all_are_known(cls, phases: dict[str, tuple[str, ...]] | None) -> dict[str, tuple[str, ...]] | None:
        unknown = {word for following in (phases or {}).values() for word in following} - (phases or {}).keys()
        if unknown:
            raise ValueError(f"{min(unknown)} may follow, and has no line that says what follows it")
        return phases


_ASSESSMENT: Final = (
    "created", "requirement_submitted", "matches_found", "matches_selected", "generating_impact", "completed",
)  # fmt: skip
_INTERVIEW: Final = {  # To pause it is a command, no phase.
    "created": ("active", "error"),
    "active": ("completed", "error"),
    "completed": (),
    "error": (),
}
_INTERVIEW_CONFIG: Final = {
    "type": "object",
    "properties": {
        "enabled_modes": {
            "type": "array",
            "items": {"enum": ["text", "whiteboard", "audio", "video"]},
            "uniqueItems": True,
        },
        "ai_provider": {"type": "string"},
        "ai_model": {"type": "string"},
        "duration_minutes": {"type": "number", "exclusiveMinimum": 0},
    },
}


def _built_in(name: str, title: str, **more: Any) -> Template:
    # Not validated again at each start; a test does it.
    return Template.model_construct(title=title, **{**BUILT_IN_TEMPLATES[name]._asdict(), **more})


BUILT_IN: Final[Mapping[str, Template]] = {
    "conversation": _built_in("conversation", "Chat with an assistant"),
    "interview": _built_in(
        "interview", "Interview, which begins paused", phases=_INTERVIEW, config_schema=_INTERVIEW_CONFIG
    ),
    "assessment": _built_in(
        "assessment",
        "Assessment in steps",
        phases={
            **{word: (following, "error") for word, following in pairwise(_ASSESSMENT)},
            "completed": (),
            "error": (),
        },
    ),
    "gateway": _built_in("gateway", "Connection of a WebSocket gateway"),
}
"""The templates of the applications that come with the processor."""


def over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return templates of two sources; of one that both have, each field is the one `above` if it is there."""
    return {**below, **{name: _over(below.get(name), fields) for name, fields in above.items()}}


def _over(below: object, above: object) -> object:
    if isinstance(below, Template):
        below = below.model_dump(exclude_unset=True)
    return {**below, **above} if isinstance(below, Mapping) and isinstance(above, Mapping) else above


def templates_in(text: str) -> dict[str, Any]:
    """Return what the text of a file says: by name, the fields of each template. They are valid.

    Raises:
        ValueError: it is no YAML (nor JSON, which is YAML too), or says what a template cannot be.
    """
    from processor.settings.yamls import yaml_in  # noqa: PLC0415  # Most commands have no such file.

    told = yaml_in(text)
    try:
        TypeAdapter(dict[Word, Template]).validate_python(told)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        raise ValueError("; ".join(dict.fromkeys(map(_words, problems)))) from None
    assert isinstance(told, dict)
    return told


def _words(problem: ErrorDetails) -> str:
    return f"{'.'.join(map(str, problem['loc'])) or 'the whole'}: {in_words(problem)}"
