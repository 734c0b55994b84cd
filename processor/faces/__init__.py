"""What speaks to people and programs over HTTP: parse, ask, answer. No rules here."""
