"""`a3cp verify`: checks that bundles, or the sessions in the topics, are whole and unaltered."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from processor.audit.verifying import verify_topics
from processor.bundles.sealed import SealReport, Seals
from processor.bundles.seals import SealLog
from processor.bundles.signatures import Checker
from processor.bundles.verify import PAGE, is_root, listed, root_of
from processor.bundles.verify import verify as reports_of
from processor.cli.arguments.settings import Bootstrap, Json, Prefix, chosen, codec_of_settings
from processor.cli.printing.terminal import progress_bar
from processor.cli.printing.text import print_json
from processor.codec.codec import Codec
from processor.errors import NoKafka, UsageError
from processor.kafka.audit import KafkaTopics
from processor.sessions.report import Report
from processor.upstream.words.counting import counted
from processor.wiring import schemas, seal_log

NOT_RENDERED_SHOWN: Final = 5  # reasons


def verify(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[BUNDLE|ROOT]", help="A bundle, a folder of bundles, or a page that was shared; fsspec URLs too."
        ),
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
    seal: Annotated[
        bool,
        typer.Option("--seal", help="Check the root's seals, against the log too, and that they have each bundle."),
    ] = False,
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
    if topic and (key or seal):
        raise UsageError("--key and --seal are for bundles", remedy="leave them out, or leave out --topic")
    keys = _public_keys(key) if key else None
    seals = Seals(root_of(target), _seal_log(bootstrap, prefix), keys) if seal and target is not None else None
    reports = []
    for report in (
        _topic_reports(bootstrap, prefix, quiet=as_json)
        if target is None
        else reports_of(target, codec_of_settings(), keys, seals)
    ):
        reports.append(report)
        if not as_json and not (broken and report.is_sound):
            _show(report)
    noun = "session" if topic else "page" if reports[0].status == PAGE else "bundle"
    wrong = sum(not report.is_sound for report in reports)
    if as_json:
        shown = [_fields(report) for report in reports if not (broken and report.is_sound)]
        index = {"index": None if target is None or noun == PAGE else listed(target)}
        more = {} if seals is None else {"seals": [_seal_fields(report) for report in seals.reports]}
        print_json({**index, f"{noun}s": len(reports), "broken": wrong, **more, "reports": shown})
    else:
        _tell_counts(reports, noun)
        if target is not None:
            _tell_signed(reports, checked=keys is not None)
        if target is not None and noun == "bundle":
            _tell_rendered(reports)
            _tell_index(target)
        if seals is not None:
            _tell_seals(seals, reports)
    if wrong or (seals is not None and seals.broken):
        raise typer.Exit(1)


def _tell_counts(reports: Sequence[Report], noun: str) -> None:
    """Say how many are sound, and what some of them say of themselves."""
    sound = sum(report.is_sound for report in reports)
    partial = sum(report.status == "partial" and not report.is_opened_twice for report in reports)
    told = f"{counted(len(reports), noun)}: {sound:,} sound, {len(reports) - sound:,} broken"
    held = counted(
        partial, "holds only a part of its session, and says so", "hold only a part of their session, and say so"
    )
    print(f"{told}; {held}" if partial else told)
    if twice := sum(report.is_opened_twice for report in reports):
        print(
            counted(
                twice,
                "holds a session that was opened twice, and says so",
                "hold a session that was opened twice, and say so",
            )
        )


def _public_keys(paths: Sequence[Path]) -> Checker:
    from processor.bundles.keys import read_public_keys  # noqa: PLC0415  # Of an extra.

    return read_public_keys(paths)


def _tell_signed(reports: Sequence[Report], *, checked: bool) -> None:
    """Say how many bundles are signed, and by which keys."""
    for key_id, count in Counter(report.signed_by for report in reports if report.signed_by).items():
        told = "checked with it" if checked else "not checked: --key FILE does"
        print(f"signatures by the key {key_id}: {count:,}, {told}")


def _seal_log(bootstrap: str | None, prefix: str | None) -> SealLog | None:
    """Return the log that seals are compared with. Returns None if no Kafka is named: then that is told."""
    try:
        return seal_log(chosen(bootstrap, prefix))
    except NoKafka:
        return None


def _tell_seals(seals: Seals, reports: Sequence[Report]) -> None:
    """Say of each seal what was found, and how many bundles they prove."""
    for found in seals.reports:
        told = "" if found.seal is None else f"  {counted(found.seal.leaves, 'leaf', 'leaves')}, root {found.seal.root}"
        print(f"{'BROKEN seal' if found.problems else 'seal'}  {found.path}{told}{found.log and f', {found.log}'}")
        for problem in found.problems:
            print(f"        {problem}")
    proofs = [report.sealed.is_all for report in reports if report.sealed is not None]
    by_messages = len(proofs) - sum(proofs)
    print(f"sealed: {counted(sum(proofs), 'bundle')} byte for byte, {by_messages:,} by their messages")
    if unsealed := len(reports) - len(proofs):
        print(f"  {unsealed:,} in no seal: broken, open, or written after the latest seal")


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
        topics = KafkaTopics(
            settings.kafka_conf(),
            (names.tagged, names.sessions, names.state),
            raw=names.raw,
            group_id=settings.group_id,
            on_read=show,
        )
        yield from verify_topics(topics, Codec(schemas(settings)), names)


def _show(report: Report) -> None:
    status = f"{report.status or 'unreadable'}{' (opened twice)' if report.is_opened_twice else ''}"
    messages = counted(report.messages, "message")
    sealed = ""
    if (proof := report.sealed) is not None:
        sealed = f", sealed {proof.day}{'' if proof.is_all else ' (its messages)'}"
    what = PAGE if report.status == PAGE else f"{messages}, {status}{sealed}"
    print(f"{'sound ' if report.is_sound else 'BROKEN'}  {report.path}  {what}")
    for problem in report.problems:
        print(f"        {problem}")


def _seal_fields(report: SealReport) -> dict[str, Any]:
    return {
        "path": report.path,
        "seal": msgspec.to_builtins(report.seal),
        "log": report.log or None,
        "problems": report.problems,
    }


def _fields(report: Report) -> dict[str, Any]:
    return {
        "path": report.path,
        "session_id": report.session_id,
        "status": report.status,
        "opened_twice": report.is_opened_twice,
        "messages": report.messages,
        "sound": report.is_sound,
        "signed_by": report.signed_by,
        "sealed": None if report.sealed is None else report.sealed._asdict(),
        "rendered": report.is_rendered,
        "not_rendered": report.not_rendered or None,
        "problems": [problem._asdict() for problem in report.problems],
    }
