"""Conversations with an assistant, under the names of a chat backend."""

from processor.client.conversation import Ensured, FirebaseSessionManager, SessionManager

__all__ = ["Ensured", "FirebaseSessionManager", "SessionManager"]
