"""One file a long-running process: how it starts, retries, stops."""
