"""The one table of plain words: for what records, JSON and the CSV name by a word of A3CP, each face says the same.

A flag has a short text for a list, a line or a label, and a sentence that explains it.
"""

from typing import Final

FLAGS: Final = {
    "late": ("late", "It arrived after newer messages; it stands where it belongs in time."),
    "duplicate": ("repeated", "The same message had come before."),
    "clock_skew": ("wrong clock", "The sender's clock was wrong; it stands at the time when it arrived."),
    "while_paused": ("in the pause", "It came while the session was paused."),
    "session_mismatch": ("moved here", "It named another session, and belongs to this one."),
    "no_session": ("in no session", "Its sender works at any hour, and opens no session."),
    "nonconforming": ("not to the letter", "It lacks something that A3CP asks of a message. Its content is unchanged."),
    "clarification": ("asked back", "The system was not sure and asked."),
    "corrected": ("corrected", "A person corrected what was recognised."),
    "rejected": ("not right", "A person said that this was not right."),
    "unknown": ("not recognised", "The system knew no label for it."),
    "capture_abort": ("broken off", "The recording was broken off."),
    "requires_attention": ("needs attention", "It asks for a person's attention."),
    "no_consent": ("no consent", "There is no consent to use this for training."),
    "demo": ("demo", "Made for a demonstration."),
    "withheld": ("content not kept", "Raw media and half-heard sentences are never kept; their fingerprint is."),
    "opened_twice": ("opened twice", "Its records were sent again after the session was forgotten."),
}
"""The words of `Notice`: in the order in which they are told."""

QUIET: Final = ("nonconforming", "demo")
"""Flags that a line does not show: they are in the details only."""

ODD: Final = {
    "schema_version_missing": "it does not say which version of A3CP it follows",
    "schema_version_not_semver": "the version of A3CP that it names is none",
    "record_id_missing": "it has no id of its own",
    "record_id_not_uuid": "its own id has another form",
    "user_id_blanks": "the user's id begins or ends with a blank",
    "user_id_invisible": "the user's id holds characters that cannot be seen",
    "timestamp_without_zone": "its time names no time zone, and may be hours off",
    "performer_id_not_text": "who did it is not told as text",
    "modality_unknown": "its kind of input is none that A3CP knows",
    "source_not_text": "who sent it is not told as text",
    "capture_id_not_text": "its recording is not told as text",
    "session_id_not_text": "its session is not told as text",
    "tag_fields": "it had been through the session manager before",
    "session_policy_wrong": "the user's limits in it are wrong, and do not count",
}
"""Why a message is `nonconforming`: the words of `Odd`."""

ENDS: Final = {
    "timeout": "after a silence",
    "pause_timeout": "in a pause that nobody ended",
    "max_duration": "at its longest length",
    "command": "on request",
    "superseded": "when a new one was started",
    "late": "at once: it was made for late messages",
}
"""How a session ended, by the reason."""

UNCHANGED: Final = {
    "already_active": "the session was already running",
    "already_paused": "the session was already paused",
    "not_paused": "the session was not paused",
    "touched": "it only kept the session open",
    "duplicate": "it had been asked before",
}
"""Why a command changed nothing."""

REJECTED: Final = {
    "not_found": "there is no such session",
    "user_mismatch": "the session is another user's",
    "already_closed": "the session had already ended",
}
"""Why a command was refused."""


def flag_text(word: str) -> str:
    """Return the short text for a flag; of one that a newer release made, its word."""
    return FLAGS[word][0] if word in FLAGS else word.replace("_", " ")


def flag_counts(counts: dict[str, int]) -> str:
    """Return how often each flag occurs, in the order of the table; "" if there are none."""
    known = [word for word in FLAGS if word in counts]
    others = sorted(counts.keys() - FLAGS.keys())
    return ", ".join(f"{counts[word]:,} {flag_text(word)}" for word in (*known, *others))
