"""Finding a session among many: every filter of the page, words and sums, as the service answers them."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, Final

from fastapi.testclient import TestClient

from bench.context import Context, step
from bench.messages import START_MS
from bench.report import Section, Target, number
from processor.core.ids import session_id
from processor.core.model import Flag, IdFormat
from processor.faces.app import make_app
from processor.faces.v1.queries.cursors import cursor_text
from processor.in_memory import MemoryDeployment
from processor.sessions.model import SessionRow, Sums, TextRow
from processor.sessions.ports import Rows
from processor.settings.model import Settings
from processor.store.sql import SqlStore
from processor.upstream.notices import Notice, notice_words
from tests import postgres

_DAYS: Final = 730
_DAY_MS: Final = 86_400_000
_PERSONS: Final = 300
_TEXTS: Final = 6  # of a session
_WORDS: Final = 20_000  # that are spoken; the first ones often
_AT_A_TIME: Final = 5_000  # sessions that are written in one transaction
_TURNS: Final = 7  # of each question; the quickest counts, since the machine may be busy
_QUICK_MS: Final = 300.0
_TEMPLATES: Final = ("therapy", "school", "home", None)
_TAGS: Final = ("garden", "meal", "music", "outing")

_MIDDLE: Final = (START_MS + _DAYS // 2 * _DAY_MS, "")
QUESTIONS: Final[dict[str, str]] = {
    "all, newest first": "/v1/sessions",
    "a page in the middle": "/v1/sessions?cursor={cursor}",
    "one person": "/v1/sessions?user_id=person017",
    "one week": "/v1/sessions?since=2027-05-01&until=2027-05-08",
    "active": "/v1/sessions?status=active",
    "partial": "/v1/sessions?status=partial",
    "a flag that 3 % have": "/v1/sessions?flag=late",
    "a flag that 16 in all have": "/v1/sessions?flag=withheld",
    "a tag that 5 % have": "/v1/sessions?tag=music",
    "a tag that nobody has": "/v1/sessions?tag=absent",
    "template": "/v1/sessions?template=therapy",
    "longer than two hours": "/v1/sessions?min_duration_s=7200",
    "with notes": "/v1/sessions?has_notes=true",
    "a person's, flagged, with notes": "/v1/sessions?user_id=person017&flag=late&has_notes=true",
    "a word said once": "/v1/sessions?q=kingfisher",
    "a word in half of the sessions": "/v1/sessions?q=word3",
    "a word in two of three sessions": "/v1/sessions?q=word0",
    "two words, of one person": "/v1/sessions?q=word3+word7&user_id=person017",
    "a word that nobody said": "/v1/sessions?q=absent",
    "sums of four weeks, by day": "/v1/stats?by=day&since=2027-05-18",
    "sums of four weeks, by person": "/v1/stats?by=user&since=2027-05-18",
}


def measure(context: Context) -> Section:
    """Measure every question on SQLite and PostgreSQL."""
    count = context.scale.found_sessions
    section = Section(
        "finding",
        "Finding a session",
        f"A store of {count:,} sessions of {_PERSONS} persons over {_DAYS} days, with {_TEXTS} texts each; nothing in "
        f"the tail. Each question as the page asks it, the first page of 50 sessions and their number; from the "
        f"request to the whole answer, in process, ms. The quickest of {_TURNS}.",
        ("question", "found", "SQLite", "PostgreSQL"),
    )
    with ExitStack() as stack:
        urls = {"SQLite": f"sqlite:///{context.folder / 'finding.db'}"}
        if postgres.programs() is None:
            section.notes.append("PostgreSQL not run: its programs are not installed")
        else:
            urls["PostgreSQL"] = stack.enter_context(postgres.Cluster()).new_database("finding")
        for name, url in urls.items():
            section.runs += [{"store": name, **run} for run in ask(Path(context.folder), url, count)]
    for question in QUESTIONS:
        its = {run["store"]: run for run in section.runs if run["question"] == question}
        cells = (number(its[store]["ms"] if store in its else None, 1) for store in ("SQLite", "PostgreSQL"))
        section.rows.append((question, its["SQLite"]["found"], *cells))
    worst = max(section.runs, key=lambda run: run["ms"])
    section.targets.append(
        Target(
            f"every question ≤ {_QUICK_MS:.0f} ms",
            f"{worst['ms']:.0f} ms ({worst['question']}, {worst['store']})",
            worst["ms"] <= _QUICK_MS,
        )
    )
    return section


def ask(folder: Path, url: str, count: int) -> Iterator[dict[str, Any]]:
    """Fill a store and yield what each question took."""
    with MemoryDeployment(folder, settings=Settings(store_url=url)) as deployment:
        with step(f"writing {count:,} sessions"):
            fill(deployment.store, count)
        with TestClient(make_app(deployment.context()), base_url="http://localhost") as http:
            for question, path in QUESTIONS.items():
                cursor = cursor_text(_MIDDLE, deployment.site_key)
                taken_ms = []
                for _ in range(_TURNS):
                    begun_s = time.perf_counter()
                    told = http.get(path.format(cursor=cursor)).raise_for_status().json()
                    taken_ms.append((time.perf_counter() - begun_s) * 1e3)
                shown = len(told.get("sessions", told.get("stats")))
                found = f"{told['total']:,}" if "total" in told else f"{shown} shown"
                yield {"question": question, "found": found, "ms": min(taken_ms)}


def fill(store: SqlStore, count: int) -> None:
    """Write sessions as an exporter leaves them."""
    made = _sessions(count)
    while some := list(islice(made, _AT_A_TIME)):
        with store.writer.transaction({}) as transaction:
            transaction.add(Rows([], [], [text for _, texts in some for text in texts], []))
            transaction.put([row for row, _ in some], [], {row.session_id: 0 for row, _ in some})


def _sessions(count: int) -> Iterator[tuple[SessionRow, list[TextRow]]]:
    rng = random.Random(7)
    step_ms = _DAYS * _DAY_MS // count
    for index in range(count):
        user_id = f"person{rng.randrange(_PERSONS):03d}"
        start_ms = START_MS + index * step_ms
        name = session_id(user_id, start_ms, f"record{index}", IdFormat.DATED)
        said = ["kingfisher" if index == count // 3 else _said(rng), *(_said(rng) for _ in range(_TEXTS - 1))]
        texts = [
            TextRow(
                name,
                user_id,
                start_ms + place * 1_000,
                "user",
                "output_phrase",
                each,
                "tagged",
                0,
                _TEXTS * index + place,
            )
            for place, each in enumerate(said)
        ]
        yield _session(rng, name, user_id, start_ms, is_open=index > count - 20), texts


def _session(rng: random.Random, name: str, user_id: str, start_ms: int, *, is_open: bool) -> SessionRow:
    length_ms = round(rng.expovariate(1 / 1_800_000))
    messages = rng.randrange(5, 200)
    notices = rng.choices((0, Flag.LATE, Notice.REQUIRES_ATTENTION, Notice.WITHHELD), (9_500, 300, 199, 1))[0]
    sums = Sums({"user": messages // 2, "system": messages // 2}, {"output_planner": messages // 2}, {"speech": 3})
    sums.notices = dict.fromkeys(notice_words(notices), 1)
    return SessionRow(
        name, user_id, rng.randrange(4), start_ms, "00" * 32, sums, messages, notices,
        state="active" if is_open else "ended",
        end_ms=None if is_open else start_ms + length_ms,
        reason=None if is_open else "timeout",
        expected_count=None if is_open else messages + (rng.random() < 0.01),
        expected_digest=None if is_open else "00" * 32,
        template=rng.choice(_TEMPLATES),
        tags=(rng.choice(_TAGS),) if rng.random() < 0.2 else (),
        note_count=int(rng.random() < 0.1),
        event_count=2,
    )  # fmt: skip


def _said(rng: random.Random) -> str:
    return " ".join(f"word{round(_WORDS ** rng.random()) - 1}" for _ in range(5))
