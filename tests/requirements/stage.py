"""What tests of the requirement documents share: the documents' own code."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Document:
    """A requirement document, as it came."""

    def __init__(self, name: str) -> None:
        self.text = (Path(__file__).parent / name).read_text("utf-8")

    def block(self, heading: str, language: str, number: int = 0) -> str:
        """Return a code block: of that language, the one below a line that says `heading`."""
        below = self.text.split(f"{heading}\n", 1)[1]
        blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", below, re.DOTALL)
        return blocks[number]
