"""Proves from the topics alone that each raw record has exactly one outcome."""
