"""`SessionManager`: an interview from its creation to its evaluation, over the sessions of the log."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any, Final, Self
from uuid import UUID

from processor.client.interview.collaborators import (
    AIInterviewer,
    CommunicationManager,
    DataStore,
    EvaluationManager,
    Logger,
)
from processor.client.interview.errors import (
    ComponentError,
    ConfigurationError,
    InvalidTransitionError,
    SessionNotFoundError,
    failing,
    told,
)
from processor.client.interview.loglines import LogLines
from processor.client.interview.mirror import Mirror
from processor.client.interview.model import (
    TEMPLATE,
    EvaluationReport,
    Session,
    SessionConfig,
    SessionStatus,
    SessionSummary,
    members_of,
    now,
    session_of,
    summary_of,
)
from processor.client.service import forms
from processor.client.service.asyncsessions import Filters
from processor.client.service.sessions import Sessions
from processor.errors import A3CPError
from processor.upstream.facts import score_in

_SYSTEM: Final = "system"  # Who performs what no person does.
_PAGE: Final = 200
_TAGGED_WAIT_S: Final = 30.0

_INTERVIEWER: Final = "the AI interviewer"
_COMMUNICATION: Final = "the communication manager"
_EVALUATION: Final = "the evaluation manager"


class SessionManager:
    """Manages interviews. Their status is in the log, so another process may go on with one. A context manager."""

    def __init__(
        self,
        data_store: Sessions | DataStore | None,
        ai_interviewer: AIInterviewer,
        evaluation_manager: EvaluationManager,
        communication_manager: CommunicationManager,
        logger: Logger | None = None,
        *,
        opening_question: Callable[[], str] | None = None,
    ) -> None:
        """Choose with whom it works together.

        Args:
            data_store: the `Sessions` to use; None: those of A3CP_URL. A store of your own is told what changes there.
            ai_interviewer: asks.
            evaluation_manager: judges.
            communication_manager: switches modes.
            logger: takes the log lines; `logging.getLogger("SessionManager")` when None.
            opening_question: returns the first question; `ai_interviewer.opening_question` when None.
        """
        self._sessions = data_store if isinstance(data_store, Sessions) else Sessions()
        self._mirror = Mirror(None if isinstance(data_store, Sessions) else data_store)
        self._interviewer = ai_interviewer
        self._evaluations = evaluation_manager
        self._communication = communication_manager
        self._lines = LogLines(logger or logging.getLogger("SessionManager"))
        self._opening_question = opening_question
        self._active_id: str | None = None

    def create_session(self, config: SessionConfig) -> Session:
        """Create an interview; it waits to be started, at most a day.

        Raises:
            ConfigurationError: the configuration is wrong, or there is a resume and no profile store.
        """
        with self._step("create_session"):
            resume = None
            if config.resume_data is not None:
                with failing(ConfigurationError, "to write the resume as JSON"):
                    resume = members_of(config.resume_data)
            begun = self._sessions.create(
                (resume or {}).get("user_id"),
                template=TEMPLATE, performer_id=_SYSTEM, context=config.context(), resume_data=resume,
            )  # fmt: skip
            self._sessions.pause(begun.session_id, performer_id=_SYSTEM)
            session = replace(session_of(begun), config=config)
            self._mirror.save(session)
            self._lines.info("create_session", session.id, "created successfully", **config.context())
            return session

    def start_session(self, session_id: str | UUID) -> None:
        """Start an interview: the interviewer, the modes, the opening question. If one fails, all is undone.

        Raises:
            InvalidTransitionError: it was started already.
            ComponentError: a component failed; the interview's status is `error` then.
        """
        with self._step("start_session", session_id):
            session = self._in(session_id, "started", SessionStatus.CREATED)
            with ExitStack() as undo:
                self._sessions.resume(session.id, performer_id=_SYSTEM)
                undo.callback(self._quietly, session.id, self._fail, session.id)
                resume = self._sessions.resume_data(session.id)
                with failing(ComponentError, _INTERVIEWER):
                    self._interviewer.initialize(session_id=session.id, resume_data=resume)
                for mode in session.config.enabled_modes:
                    with failing(ComponentError, _COMMUNICATION):
                        self._communication.enable_mode(mode)
                    undo.callback(self._quietly, session.id, self._communication.disable_mode, mode)
                with failing(ComponentError, _INTERVIEWER):
                    question = (self._opening_question or self._interviewer.opening_question)()
                self._say(session.id, question)
                self._mirror.save(replace(session, status=SessionStatus.ACTIVE))
                self._sessions.update_status(session.id, SessionStatus.ACTIVE, performer_id=_SYSTEM)
                undo.pop_all()
            self._active_id = session.id
            modes = session.config.context()["enabled_modes"]
            self._lines.info("start_session", session.id, "started successfully", enabled_modes=modes)

    def end_session(self, session_id: str | UUID) -> Any:
        """End an interview, and return its evaluation.

        If that fails, the interview has ended without one. Call it again within a day: what is missing is done then.

        Raises:
            InvalidTransitionError: it was not started, or has been evaluated.
            ComponentError: a component failed.
        """
        with self._step("end_session", session_id):
            states = SessionStatus.ACTIVE, SessionStatus.PAUSED, SessionStatus.COMPLETED
            session = self._in(session_id, "ended", *states)
            if session.overall_score is not None:
                raise InvalidTransitionError(f"session {session.id} has been evaluated already")
            if session.status is not SessionStatus.COMPLETED:
                self._sessions.update_status(session.id, SessionStatus.COMPLETED, performer_id=_SYSTEM)
            elif session.ended_at is None:  # The service was killed between its status and its end.
                self._sessions.terminate(session.id, performer_id=_SYSTEM)
            session = self._get(session.id)
            recording_path = self._sessions.get_audit(session.id).audit_path
            self._mirror.save(session)
            if self._active_id == session.id:
                self._active_id = None
            with failing(ComponentError, _COMMUNICATION), ExitStack() as each:  # Whatever becomes of the others.
                for mode in session.config.enabled_modes:
                    each.callback(self._communication.disable_mode, mode)
            with failing(ComponentError, _EVALUATION):
                report = self._evaluations.generate_evaluation(session.id)
                fields = members_of(report)
            if (score := score_in(fields)) is None:
                raise ComponentError(f"{_EVALUATION} failed: its report has no overall_score that is a number")
            self._sessions.evaluation(session.id, fields, wait_s=_TAGGED_WAIT_S)
            self._mirror.save(replace(session, overall_score=score))
            self._lines.info(
                "end_session", session.id, "ended successfully", overall_score=score,
                duration_minutes=session.duration.total_seconds() / 60, recording_path=recording_path,
            )  # fmt: skip
            return replace(report, recording_path=recording_path) if isinstance(report, EvaluationReport) else report

    def pause_session(self, session_id: str | UUID) -> None:
        """Pause an active interview, at most for a day.

        Raises:
            InvalidTransitionError: it is not active.
        """
        with self._step("pause_session", session_id):
            self._move(session_id, "pause", SessionStatus.ACTIVE, SessionStatus.PAUSED, self._sessions.pause)

    def resume_session(self, session_id: str | UUID) -> None:
        """Go on with a paused interview.

        Raises:
            InvalidTransitionError: it is not paused.
        """
        with self._step("resume_session", session_id):
            self._move(session_id, "resume", SessionStatus.PAUSED, SessionStatus.ACTIVE, self._sessions.resume)

    def get_session(self, session_id: str | UUID) -> Session:
        """Return an interview, by its id or its UUID; its resume is not part of it.

        Raises:
            SessionNotFoundError: there is none.
        """
        with self._step("get_session", session_id):
            return self._get(session_id)

    def get_active_session(self) -> Session | None:
        """Return the interview that this manager started last; None if there is none, or it is over."""
        if self._active_id is None:
            return None
        session = self.get_session(self._active_id)
        return session if session.status in (SessionStatus.ACTIVE, SessionStatus.PAUSED) else None

    def list_sessions(self, user_id: str | None = None, limit: int = 50, offset: int = 0) -> list[SessionSummary]:
        """Return interviews, newest first: a user's, or all; at most `limit`, behind the first `offset`."""
        with self._step("list_sessions"):
            return list(map(summary_of, islice(self._listed(user_id, limit, offset), limit)))

    def close(self) -> None:
        """Let go of the connections."""
        self._sessions.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _step(self, operation: str, session_id: str | UUID | None = None) -> Iterator[None]:
        """Log what goes wrong with a step, and tell it as an `InterviewPlatformError`."""
        try:
            yield
        except A3CPError as error:
            failed = told(error, None if session_id is None else str(session_id))
            self._lines.error(operation, failed)
            raise failed from failed.cause

    def _get(self, session_id: str | UUID) -> Session:
        session = self._sessions.get(self._id_of(session_id))
        if session.template != TEMPLATE:
            raise SessionNotFoundError(f"session {session_id} not found: it is no interview")
        return session_of(session)

    def _in(self, session_id: str | UUID, done: str, *states: SessionStatus) -> Session:
        """Return an interview that can be `done`, since it is in one of these states."""
        session = self._get(session_id)
        if session.status not in states:
            raise _illegal(session, done)
        return session

    def _move(
        self,
        session_id: str | UUID,
        word: str,
        before: SessionStatus,
        after: SessionStatus,
        command: Callable[..., forms.Event],
    ) -> None:
        session = self._in(session_id, f"{word}d", before)
        moved = replace(session, status=after)
        if command(session.id, performer_id=_SYSTEM).kind == "unchanged":  # Another manager was faster.
            raise _illegal(moved, f"{word}d")
        self._mirror.save(moved)
        self._lines.info(f"{word}_session", session.id, f"{word}d successfully")

    def _say(self, session_id: str, question: str) -> None:
        if not isinstance(question, str):
            raise ComponentError(f"{_INTERVIEWER} failed: its opening question is no text")
        message = {"role": "assistant", "content": question, "timestamp": now()}
        spoken = {**message, "source": TEMPLATE, "performer_id": _SYSTEM}
        self._sessions.add_message(session_id, spoken, wait_s=_TAGGED_WAIT_S)
        self._mirror.say(session_id, message)

    def _fail(self, session_id: str) -> None:
        """Give an interview whose start failed the status `error`; one that another manager has started stays."""
        session = self._get(session_id)
        if session.status is SessionStatus.CREATED:
            self._sessions.update_status(session_id, SessionStatus.ERROR, performer_id=_SYSTEM)
            self._mirror.save(replace(session, status=SessionStatus.ERROR))

    def _quietly(self, session_id: str, call: Callable[..., object], *arguments: Any) -> None:
        """Undo something; what goes wrong with it is logged, since the error before it matters more."""
        try:
            with failing(ComponentError, "to undo a start"):
                call(*arguments)
        except ComponentError as error:
            error.session_id = session_id
            self._lines.error("start_session", error)

    def _listed(self, user_id: str | None, limit: int = _PAGE, offset: int = 0) -> Iterator[forms.Session]:
        """Yield sessions, newest first, behind the first `offset`; `limit`: about how many are wanted."""
        wanted: Filters = {"template": TEMPLATE} if user_id is None else {"template": TEMPLATE, "user_id": user_id}
        limit = max(1, min(limit, _PAGE))
        page = self._sessions.list(limit=limit, offset=offset, **wanted)
        yield from page
        while page.next_cursor is not None:
            page = self._sessions.list(limit=limit, cursor=page.next_cursor, **wanted)
            yield from page

    def _id_of(self, session_id: str | UUID) -> str:
        """Return the id behind a UUID; an id as it is."""
        try:
            digits = UUID(str(session_id)).hex
        except ValueError:
            return str(session_id)
        found = (each.session_id for each in self._listed(None) if each.session_id.endswith(digits))
        return next(found, str(session_id))


def _illegal(session: Session, done: str) -> InvalidTransitionError:
    return InvalidTransitionError(f"session {session.id} cannot be {done}: it is {session.status}")
