from a3cp_sessions.interview import *  # noqa: F403  # The manager under the name that its document gives it.
