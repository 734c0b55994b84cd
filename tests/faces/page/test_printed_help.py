"""What explains the page, as its readers print it."""

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.bundles.browser import Chromium

DOCUMENT = Path(__file__).parents[3] / "docs" / "review.md"
STYLE = """
@page { margin: 18mm 20mm; }
body { font: 11pt/1.4 system-ui, sans-serif; margin: 0; }
h2 { margin-top: 0; }
li { margin-bottom: 2pt; }
table { border-collapse: collapse; }
td, th { text-align: left; padding: 2pt 10pt 2pt 0; vertical-align: top; }
img { max-width: 100%; max-height: 85mm; display: block; margin: 0 auto; }
"""


@pytest.mark.parametrize(("readers", "sheets_max"), [("carers", 1), ("therapists", 2)])
def test_it_is_as_short_as_it_says(chromium: Chromium, tmp_path: Path, readers: str, sheets_max: int) -> None:
    """A carer reads one printed sheet, a therapist two, in letters of 11 points."""
    parts = re.split(r"^(?=## )", DOCUMENT.read_text("utf-8"), flags=re.MULTILINE)
    part = next(each for each in parts if each.startswith(f"## For {readers}\n"))
    page = tmp_path / "page.html"
    text = MarkdownIt().enable("table").render(part)
    head = f"<!doctype html><meta charset='utf-8'><base href='{DOCUMENT.as_uri()}'><style>{STYLE}</style>"
    page.write_text(head + text, "utf-8")
    with chromium.page() as browser:
        browser.open(page, width=800, height=1000)
        shown = browser.run("[...document.images].filter((one) => one.naturalWidth > 0).length")
        assert shown == part.count("](images/")
        sheets = browser.pdf()
    (tmp_path / "sheets.pdf").write_bytes(sheets)
    assert len(re.findall(rb"/Type */Page\b", sheets)) <= sheets_max
