"""Which sessions are meant: one grammar for lists, counts, search, sums, exports and live streams.

These are the query parameters. One that is not known is refused: a misspelt filter that is ignored would tell too much.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from processor.codec.isotime import parse_time
from processor.faces.auth.doors import Caller
from processor.faces.texts import NO_NUL
from processor.sessions.forms.shapes import Resource
from processor.sessions.ports import SessionFilter
from processor.upstream.notices import Notice

PAGE: Final = 50
PAGE_MAX: Final = 200
OFFSET_MAX: Final = 10_000
_DURATION_S_MAX: Final = 1e9
_TEXT_MAX: Final = 512


def _time_ms(text: object) -> object:
    if not isinstance(text, str):
        return text
    try:
        return parse_time(text)
    except ValueError:
        raise ValueError("it is no ISO 8601 date or time") from None


def _flag(word: str) -> str:
    if word not in Notice.WORDS:
        raise ValueError(f"there is no such flag; there are {', '.join(Notice.WORDS)}")
    return word


def _names(text: str) -> str:
    unknown = set(text.split(",")) - set(Resource.__struct_fields__)
    if unknown:
        raise ValueError("it names a field that sessions do not have")
    return text


Time = Annotated[
    int,
    BeforeValidator(_time_ms),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2027-01-15T09:00:00Z", "2027-01-15"]}),
]
"""An ISO 8601 date or time, UTC unless it says otherwise; ms since the epoch once it is read."""

Text = Annotated[str, Field(min_length=1, max_length=_TEXT_MAX, pattern=NO_NUL)]


class Parameters(BaseModel):
    """The query parameters of a route; one that takes none uses this itself."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Active(Parameters):
    """Which open sessions are counted."""

    template: Annotated[Text | None, Field(description="Started with this template.")] = None


class Filter(Parameters):
    """Which sessions are meant: those that all of it fits."""

    user_id: Annotated[Text | None, Field(description="Whose sessions.")] = None
    status: Annotated[
        Literal["active", "paused", "closed", "open", "partial", "complete"] | None,
        Field(description="`open` is active or paused; `partial` and `complete` are closed and say what is held."),
    ] = None
    since: Annotated[Time | None, Field(description="Started at this time or later.")] = None
    until: Annotated[Time | None, Field(description="Started before this time.")] = None
    template: Annotated[Text | None, Field(description="Started with this template.")] = None
    flag: Annotated[
        list[Annotated[str, AfterValidator(_flag)]], Field(description="With a message so flagged; any of several.")
    ] = []
    tag: Annotated[Text | None, Field(description="With this tag.")] = None
    phase: Annotated[Text | None, Field(description="Whose status was last told with this word.")] = None
    min_duration_s: Annotated[
        float | None, Field(ge=0, le=_DURATION_S_MAX, allow_inf_nan=False, description="So long or longer.")
    ] = None
    has_notes: Annotated[bool | None, Field(description="With notes, or without.")] = None

    def wanted(self, who: Caller) -> SessionFilter:
        """Return what passes, of the sessions that `who` sees."""
        notices = 0
        for word in self.flag:
            notices |= 1 << Notice.WORDS.index(word)
        return SessionFilter(
            owner=self.user_id,
            since_ms=self.since,
            until_ms=self.until,
            notices=notices,
            status=self.status,
            template=self.template,
            tag=self.tag,
            phase=self.phase,
            min_duration_ms=None if self.min_duration_s is None else round(self.min_duration_s * 1000),
            has_notes=self.has_notes,
            owners=None if who.sees_all else frozenset(who.users),
        )


class Words(Filter):
    """The same, and words that are said in the session, and whether a moment of it is marked."""

    q: Annotated[Text | None, Field(description="All of these words are in its notes, texts or transcripts.")] = None
    bookmarked: Annotated[Literal["true"] | None, Field(description="With a bookmark.")] = None


class Listing(Words):
    """A page of a list."""

    limit: Annotated[int, Field(ge=1, le=PAGE_MAX, description="How many at most.")] = PAGE
    offset: Annotated[int, Field(ge=0, le=OFFSET_MAX, description="How many to leave out first.")] = 0
    cursor: Annotated[Text | None, Field(description="`next_cursor` of the page before.")] = None
    sort: Annotated[Literal["-start_time"], Field(description="Newest first; there is no other order.")] = "-start_time"
    fields: Annotated[
        Annotated[Text, AfterValidator(_names)] | None, Field(description="Only these, with commas between them.")
    ] = None

    @model_validator(mode="after")
    def _one_beginning(self) -> Any:
        if self.cursor is not None and self.offset:
            raise ValueError("a page begins at an offset or at a cursor, not at both")
        return self


class Searching(Filter):
    """A search."""

    q: Annotated[Text, Field(description="Words that must all be there.")]
    expressed_by: Annotated[
        Literal["user", "carer", "system", "session"] | None, Field(description="Whose words; else anybody's.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=PAGE_MAX, description="How many at most.")] = PAGE


class Adding(Words):
    """What is added up."""

    by: Annotated[Literal["day", "user", "template"], Field(description="What each sum is of.")] = "day"
    days: Annotated[
        bool,
        Field(description="With `by=user`: what the sums are of each day (UTC), of the 50 persons with most sessions."),
    ] = False
