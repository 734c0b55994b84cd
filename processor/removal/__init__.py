"""Removing sessions from where they were written to."""
