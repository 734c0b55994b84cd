"""Bundles: a session as a folder of files for people, programs and auditors, and how it is verified."""
