"""`a3cp verify`: checks that bundles, or the sessions in the topics, are whole and unaltered."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from processor.audit.sessions import verify_topics
from processor.bundles.signatures import Checker
from processor.bundles.verify import is_root, listed
from processor.bundles.verify import verify as reports_of
from processor.cli.settings import Bootstrap, Json, Prefix, chosen, codec_of_settings
from processor.cli.terminal import progress_bar
from processor.cli.text import counted, print_json
from processor.codec.codec import Codec
from processor.errors import UsageError
from processor.kafka.audit import KafkaTopics
from processor.sessions.report import Report
from processor.wiring import schemas

NOT_RENDERED_SHOWN: Final = 5  # reasons


def verify(
    target: Annotated[
        str | None,
        typer.Argument(metavar="[BUNDLE|ROOT]", help="A bundle, or a folder of bundles; fsspec URLs too."),
    ] = None,
    *,
    key: Annotated[
        list[Path] | None,
        typer.Option(
            "--key",
            metavar="FILE",
            help="Each bundle must be signed by this public key, or one of this folder's; may be repeated.",
            show_default=False,
        ),
    ] = None,
    topic: Annotated[
        bool, typer.Option("--topic", help="Check the sessions in the tagged and the sessions topic instead.")
    ] = False,
    broken: Annotated[bool, typer.Option("--broken", help="Show only those with something wrong.")] = False,
    bootstrap: Bootstrap = None,
    prefix: Prefix = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Check that bundles are whole and unaltered.

    Every byte is compared with the manifest; count, order and digest with the session's end.

    With --topic, check count, order and digest of the sessions in the topics.
    Exit codes: 0 nothing is wrong, 1 something is, 2 there is nothing to check.
    """
    if (target is None) != topic:
        raise UsageError(
            "verify wants either a bundle or --topic", remedy="name a bundle, a folder of them, or --topic"
        )
    if key and topic:
        raise UsageError("--key is for bundles", remedy="leave it out, or leave out --topic")
    keys = _public_keys(key) if key else None
    reports = []
    found = (
        _topic_reports(bootstrap, prefix, quiet=as_json)
        if target is None
        else reports_of(target, codec_of_settings(), keys)
    )
    for report in found:
        reports.append(report)
        if not as_json and not (broken and report.is_sound):
            _show(report)
    wrong = sum(not report.is_sound for report in reports)
    noun = "sessions" if topic else "bundles"
    if as_json:
        shown = [_fields(report) for report in reports if not (broken and report.is_sound)]
        count = {"index": None if target is None else listed(target)}
        print_json({**count, noun: len(reports), "broken": wrong, "reports": shown})
    else:
        partial = sum(report.status == "partial" and not report.is_opened_twice for report in reports)
        told = f"{len(reports):,} {noun}: {len(reports) - wrong:,} sound, {wrong:,} broken"
        print(told + (f"; {partial:,} hold only a part of their session, and say so" if partial else ""))
        if twice := sum(report.is_opened_twice for report in reports):
            print(f"{twice:,} {'holds' if twice == 1 else 'hold'} a session that was opened twice, and say so")
        if target is not None:
            _tell_signed(reports, checked=keys is not None)
            _tell_rendered(reports)
            _tell_index(target)
    if wrong:
        raise typer.Exit(1)


def _public_keys(paths: Sequence[Path]) -> Checker:
    from processor.bundles.keys import read_public_keys  # noqa: PLC0415  # Of an extra.

    return read_public_keys(paths)


def _tell_signed(reports: Sequence[Report], *, checked: bool) -> None:
    """Say how many bundles are signed, and by which keys."""
    for key_id, count in Counter(report.signed_by for report in reports if report.signed_by).items():
        told = "checked with it" if checked else "not checked: --key FILE does"
        print(f"signatures by the key {key_id}: {count:,}, {told}")


def _tell_rendered(reports: Sequence[Report]) -> None:
    """Say for how many bundles the texts for people were proven, too, and why not for the others."""
    alike = sum(report.is_rendered for report in reports if report.is_sound)
    print(f"words, page and CSV rendered again from the records: {alike:,} alike")
    if others := Counter(report.not_rendered for report in reports if report.is_sound and not report.is_rendered):
        for why, count in others.most_common(NOT_RENDERED_SHOWN):
            print(f"  {count:,} not rendered again: {why}")


def _tell_index(target: str) -> None:
    """Say whether there is an index that would show a missing bundle."""
    if is_root(target):
        count = listed(target)
        told = "there is none, so nobody can tell whether a bundle is missing" if count is None else f"lists {count:,}"
        print(f"index: {told}")


def _topic_reports(bootstrap: str | None, prefix: str | None, *, quiet: bool) -> Iterator[Report]:
    """Yield a report for each session in the topics."""
    settings = chosen(bootstrap, prefix)
    names = settings.topics()
    with progress_bar("reading", quiet=quiet) as show:
        topics = KafkaTopics(settings.kafka_conf(), (names.tagged, names.sessions, names.state), on_read=show)
        yield from verify_topics(topics, Codec(schemas(settings)), names)


def _show(report: Report) -> None:
    status = f"{report.status or 'unreadable'}{' (opened twice)' if report.is_opened_twice else ''}"
    messages = counted(report.messages, "message")
    print(f"{'sound ' if report.is_sound else 'BROKEN'}  {report.path}  {messages}, {status}")
    for problem in report.problems:
        print(f"        {problem}")


def _fields(report: Report) -> dict[str, Any]:
    return {
        "path": report.path,
        "session_id": report.session_id,
        "status": report.status,
        "opened_twice": report.is_opened_twice,
        "messages": report.messages,
        "sound": report.is_sound,
        "signed_by": report.signed_by,
        "rendered": report.is_rendered,
        "not_rendered": report.not_rendered or None,
        "problems": [problem._asdict() for problem in report.problems],
    }
