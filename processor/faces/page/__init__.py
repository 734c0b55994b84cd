"""The page for people: they find sessions, read them and see the whole. All that it shows comes from `/v1`."""
