from a3cp_sessions.interview import *  # noqa: F403  # The models under the name that their document gives them.
