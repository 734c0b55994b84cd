"""Reads files of messages as people have them: what a file is, its unpacking, its texts and records, one by one."""
