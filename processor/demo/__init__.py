"""The demo: a lifelike day of several users through the real processor, checked and shown."""
