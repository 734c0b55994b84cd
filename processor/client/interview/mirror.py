"""The application's own store, if it has one: it is told what the log holds already."""

from collections.abc import Mapping
from typing import Any

from processor.client.interview.collaborators import DataStore
from processor.client.interview.errors import DataStoreError, failing
from processor.client.interview.model import Session


class Mirror:
    """Tells the store; without one it does nothing."""

    def __init__(self, store: DataStore | None) -> None:
        self._store = store

    def save(self, session: Session) -> None:
        """Tell it how an interview is now.

        Raises:
            DataStoreError: it failed.
        """
        if self._store is not None:
            with failing(DataStoreError, "the data store"):
                self._store.save_session(session)

    def say(self, session_id: str, message: Mapping[str, Any]) -> None:
        """Tell it what was said. Raises as `save`."""
        if self._store is not None:
            with failing(DataStoreError, "the data store"):
                self._store.save_conversation(session_id, message)
