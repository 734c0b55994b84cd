"""Sockets: a session for each connection, over `/ws`. docs/sockets.md says what both sides send."""
