"""A person: all that is held of them as a file, what they gave of themselves, and how they are erased."""
