"""Interviews: sessions with an AI interviewer, modes of communication, and an evaluation at the end.

`a3cp_sessions.interview` has the public names; docs/interviews.md has an example, the statuses and the errors.
"""
