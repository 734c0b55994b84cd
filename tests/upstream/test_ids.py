"""Ids that look alike show how they differ: on the terminal, on the page and in bundles."""

import json
import shutil
import subprocess
from typing import Final

import pytest

from processor.bundles.page import TEMPLATES
from processor.upstream.words import Said, filled
from processor.upstream.words.ids import plain_id

NODE: Final = shutil.which("node")
PLAIN: Final = ("heron-07", "Zoë", "анна", "山田たろう", "mia.o@site_1", "van der Berg", "elias01~0000000a")
MARKED: Final = {
    "Elias01 ": '"Elias01 "',
    "van  der   Berg": r'"van \u0020der \u0020\u0020Berg"',
    "\u00a0elias01": r'"\u00a0elias01"',
    "ma\u200bria": r'"ma\u200bria"',
    "10sam\u202e": r'"10sam\u202e"',
    "m\u0430ria": r'"m\u0430ria"',
    "Zoe\u0308": r'"Zoe\u0308"',
    "\ufb01nch": r'"\ufb01nch"',
    "a\x1b[31mb\x7f": r'"a\u001b[31mb\u007f"',
    'a"\t\\': r'"a\"\t\\"',
}


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_id_is_shown_as_it_is(name: str) -> None:
    """An id that is only itself."""
    assert plain_id(name) == name


@pytest.mark.parametrize(("name", "shown"), MARKED.items())
def test_an_id_that_looks_like_another_is_marked(name: str, shown: str) -> None:
    """Blanks outside or side by side, hidden characters, a second way of writing, letters of two scripts."""
    assert plain_id(name) == shown
    assert filled(Said("title", {"user": name})) == f"Session of {shown}"


@pytest.mark.skipif(NODE is None, reason="the script of the pages needs Node here, and there is none")
def test_the_pages_show_ids_alike() -> None:
    """The script says of each what Python says."""
    names = [*PLAIN, *MARKED]
    script = (TEMPLATES / "words.js").read_text() + f"console.log(JSON.stringify({json.dumps(names)}.map(plainId)))"
    done = subprocess.run([NODE or "", "-"], input=script, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == [plain_id(name) for name in names]
