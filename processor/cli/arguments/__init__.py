"""What arguments of several commands mean: `settings.py` for options, `places.py` for the names of sessions."""
