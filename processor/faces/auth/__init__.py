"""Who asks: `doors.py` has the caller and its role; doors know `tokens.py`, or those of a provider (`oidc.py`).

In a browser `cookie.py` holds the token; whoever signs in by redirect does so with `provider.py`.
"""
