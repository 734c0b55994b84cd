"""Where files go: a folder, or what else fsspec reaches."""
