"""A session as a folder of files that prove themselves."""
