"""Trends in the overview: a bar a day, with the numbers that the tables have too."""

import json
import time
import uuid

from processor.codec.isotime import format_time
from tests.bundles.browser import Browser
from tests.faces.page.stage import DESKTOP, PHONE
from tests.served import InMemory

DAY_MS = 86_400_000
NOON_MS = (time.time_ns() // 1_000_000 // DAY_MS) * DAY_MS - DAY_MS // 2  # of yesterday
FIGURES = "[...document.querySelectorAll('.trend svg')].map((one) => one.getAttribute('aria-label'))"


def happened(service: InMemory, user_id: str, days_ago: int, minutes: int) -> None:
    """A session of so many minutes, so many days before yesterday."""
    for offset_ms in (0, minutes * 60_000):
        at = format_time(NOON_MS - days_ago * DAY_MS + offset_ms)
        said = {"schema_version": "1.0.1", "record_id": str(uuid.uuid4()), "user_id": user_id, "timestamp": at}
        service.deployment.producer.send(json.dumps({**said, "source": "ui"}).encode(), user_id.encode())


def test_a_bar_a_day_with_the_numbers_of_the_tables(browser: Browser, service: InMemory) -> None:
    """Days without a session are there too; who cannot see the picture hears its numbers; a person has their own."""
    for days_ago, minutes in ((20, 10), (5, 30), (0, 20)):
        happened(service, "heron-07", days_ago, minutes)
    happened(service, "robin-15", 5, 5)
    browser.open(f"{service.url}/?view=overview", width=DESKTOP[0], height=DESKTOP[1])
    browser.wait_for("document.querySelectorAll('.trend svg').length === 3")
    sessions, length, _ = browser.run(FIGURES)
    numbers = sessions.rpartition(": ")[2].split(", ")
    assert len(numbers) in {28, 29}, "the days are those of UTC, the first one is the reader's"
    assert [number for number in numbers if number != "0"] == ["1", "2", "1"]
    assert [told for told in length.rpartition(": ")[2].split(", ") if told != "0 s"] == [
        "10 minutes", "35 minutes", "20 minutes",
    ]  # fmt: skip
    assert browser.run("document.querySelectorAll('.trend:first-child rect:not(.none)').length") == 3
    assert browser.run("document.querySelectorAll('.trend:first-child rect').length") == len(numbers)
    table = browser.run(
        "[...document.querySelectorAll('.sums tbody tr')].map((one) => one.cells[1].textContent.trim())"
    )
    assert table == ["1", "2", "1", "3", "1"], "by day, the latest first; then by person"
    heron = browser.run("document.querySelector('.bars.small').getAttribute('aria-label')")
    assert [number for number in heron.rpartition(": ")[2].split(", ") if number != "0"] == ["1", "1", "1"]
    assert browser.errors == []


def test_no_word_of_a_heading_is_broken_on_a_phone(browser: Browser, service: InMemory) -> None:
    """In German, whose words are long; the table is as wide as the screen all the same."""
    happened(service, "a-person-with-a-long-name-01", 1, 5)
    browser.call("Emulation.setLocaleOverride", locale="de-DE")
    browser.call("Network.setUserAgentOverride", userAgent="test", acceptLanguage="de-DE")
    try:
        browser.open(f"{service.url}/?view=overview", width=PHONE[0], height=PHONE[1])
        browser.wait_for("document.querySelectorAll('.sums thead').length === 2")
        broken = """[...document.querySelectorAll('.sums thead th')].flatMap((head) => {
            const text = head.firstChild, words = [...(text?.data ?? '').matchAll(/\\S+/g)];
            return words.filter((word) => {
              const range = new Range();
              range.setStart(text, word.index);
              range.setEnd(text, word.index + word[0].length);
              return range.getClientRects().length > 1;
            }).map((word) => word[0]);
        })"""
        assert browser.run("document.querySelector('.sums thead').textContent").startswith("TagSitzungen")
        assert browser.run(broken) == []
        assert browser.run("document.documentElement.scrollWidth") <= PHONE[0]
    finally:
        browser.call("Emulation.setLocaleOverride")
        browser.call("Network.setUserAgentOverride", userAgent="", acceptLanguage="")
