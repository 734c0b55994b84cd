from a3cp_sessions.assessment import *  # noqa: F403  # The component under the name that its document gives it.
