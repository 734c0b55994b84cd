from a3cp_sessions.conversation import *  # noqa: F403  # The module under the name that its document gives it.
