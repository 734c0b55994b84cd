"""How many there are, in words of English, for terminals and problems."""


def counted(count: int, noun: str, nouns: str = "") -> str:
    """Return how many there are: 1 file, 2,000 files. `nouns` are several, where that is not `noun` with an s."""
    return f"{count:,} {noun if count == 1 else nouns or f'{noun}s'}"
