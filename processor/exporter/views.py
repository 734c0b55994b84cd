"""From a store to what bundles and timelines are made of."""

from processor.exporter.model import SessionRow, SessionView
from processor.exporter.ports import Store


def view_of(store: Store, session: SessionRow) -> SessionView:
    """Return `session` with the messages and events that it counts; what came later is another state of it."""
    return SessionView(
        session,
        lambda: store.messages(session.session_id, count_max=session.held_count),
        lambda: store.events(session.session_id, count_max=session.event_count),
    )
