"""Writes what a store hands on: a bundle for each session."""

from collections import Counter
from collections.abc import Callable
from typing import Final

from processor.codec import Codec
from processor.core.errors import RecordError
from processor.exporter.aside import SetAside
from processor.exporter.bundles.bundle import Outcome, Written, write_bundle
from processor.exporter.bundles.contents import ALL_FORMATS, Format
from processor.exporter.model import SessionRow, SessionView, Status
from processor.exporter.target import Target

REMEDY: Final = "make room or give the right to, then export again"  # when a target cannot be written


class BundleWriter:
    """Takes sessions, one bundle each, and counts what became of them; `take` is for `one_by_one`."""

    def __init__(
        self,
        target: Target,
        codec: Codec,
        *,
        now_ms: Callable[[], int],
        formats: frozenset[Format] = ALL_FORMATS,
    ) -> None:
        self.target = target
        self._codec = codec
        self._now_ms = now_ms
        self.formats = formats
        self.outcomes: Counter[Outcome] = Counter()
        self.statuses: Counter[Status] = Counter()
        self.aside = SetAside()
        self.messages = 0
        self.size_bytes = 0

    @property
    def name(self) -> str:
        """What a store remembers its target by: the same place with other formats is another one."""
        return f"{self.target.name} {','.join(sorted(one.value for one in self.formats))}"

    def take(self, view: SessionView) -> bool:
        """Write the session's bundle, unless it is set aside for now; return whether it is written.

        Raises as `write` does.
        """
        session = view.session
        return not self.aside.waits(session.session_id, session) and self.count(session, self.write(view))

    def write(self, view: SessionView) -> Written | RecordError:
        """Write the session's bundle; return what became of it, or why its messages cannot be read.

        Raises:
            TargetUnavailable: it cannot be written there.
            RegistryUnavailable, StoreUnavailable: its messages cannot be read at the moment.
        """
        try:
            with self.target.told("written", REMEDY):
                return write_bundle(self.target, view, self._codec, now_ms=self._now_ms(), formats=self.formats)
        except RecordError as error:
            return error

    def count(self, session: SessionRow, result: Written | RecordError) -> bool:
        """Count what became of `session`, whoever wrote it; return whether it is written."""
        if isinstance(result, RecordError):
            is_new = self.aside.add(session.session_id, {session.session_id: session.changes}, result)
            self.outcomes[Outcome.SET_ASIDE] += is_new
            return False
        self.aside.wrote(session.session_id)
        self.outcomes[result.outcome] += 1
        self.statuses[session.status] += 1
        self.messages += result.messages
        self.size_bytes += result.size_bytes
        return True
