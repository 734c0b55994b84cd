"""The operators' corner in a Chromium: what a new operator sees, copies, and is not shown."""

from pathlib import Path

import pytest

from processor.faces.middleware.shell import Shell
from processor.in_memory import MemoryDeployment
from tests.bundles.browser import Browser
from tests.faces.page.stage import DESKTOP, MARKUP, PHONE, SERIOUS, press_button
from tests.served import InMemory, served

PARTS = "document.querySelector('.corner')"


def open_corner(browser: Browser, service: InMemory, window: tuple[int, int] = DESKTOP) -> None:
    browser.open(f"{service.url}/?view=operations", width=window[0], height=window[1])
    browser.wait_for(f"{PARTS}?.querySelector('section')")


def look_again(browser: Browser) -> None:
    """Do what the page does every ten seconds: as if the reader came back to it."""
    browser.run("document.dispatchEvent(new Event('visibilitychange'))")


def dead_letter(deployment: MemoryDeployment, value: bytes) -> None:
    deployment.producer.send(value, b"ann")


def test_an_operator_sees_why_and_copies_the_command(browser: Browser, service: InMemory) -> None:
    """The reason in words, what to do, and the command, copied by its button; no content."""
    dead_letter(service.deployment, b'{"timestamp": "2026-01-01T00:00:00Z", "word": "secret"}')
    open_corner(browser, service)
    text = browser.run(f"{PARTS}.innerText")
    assert "user_id is missing" in text
    assert "send the user's pseudonym as user_id" in text
    assert "A field that it needs is missing or wrong." in text
    assert "secret" not in text
    command = "a3cp dlq retry --stage validate --why 'user_id is missing'"
    assert command in browser.run("[...document.querySelectorAll('.command code')].map((one) => one.textContent)")
    browser.run("(window.copied = [], navigator.clipboard.writeText = async (text) => { copied.push(text); }, 0)")
    press_button(browser, "Copy")
    browser.wait_for(
        "window.copied.length === 1"
        " && [...document.querySelectorAll('button')].some((one) => one.textContent === 'Copied')"
    )
    assert browser.run("copied[0]").startswith("a3cp dlq retry --stage ")
    assert browser.errors == []


def test_what_waits_is_shown_while_it_waits(browser: Browser, service: InMemory) -> None:
    """Without a reload; the button that has the focus keeps it, and nothing is built anew for a number."""
    dead_letter(service.deployment, b"{")
    open_corner(browser, service)
    browser.run("document.querySelector('.command button').focus()")
    assert browser.run("document.querySelector('.waits tbody tr td').textContent") == "0"
    service.deployment.processor_is_away = True
    try:
        dead_letter(service.deployment, b"{")
        look_again(browser)
        browser.wait_for("document.querySelector('.waits tbody tr td').textContent === '1'")
        browser.wait_for(f"{PARTS}.innerText.includes('no worker runs; start one with a3cp process')")
        assert browser.run("document.activeElement.dataset.copies").startswith("a3cp dlq retry")
    finally:
        service.deployment.processor_is_away = False
    look_again(browser)
    browser.wait_for(f"{PARTS}.innerText.includes('Everything is ready.')")


def test_what_cannot_be_told_is_said_once(browser: Browser, tmp_path: Path) -> None:
    """While Kafka is away the reason stands above, and not again at each part that it concerns."""
    shell = Shell(troubles=lambda: ("no broker answers",))
    with served(tmp_path, shell=shell) as service:
        service.deployment.broker_is_away = True
        open_corner(browser, service)
        assert browser.run(f"{PARTS}.innerText.split('no broker answers').length") == 2
        assert browser.run(f"{PARTS}.innerText.split('not known').length") == 4
        browser.run("location.replace('about:blank')")


@pytest.mark.parametrize("window", [DESKTOP, PHONE])
def test_it_is_accessible_and_fits(browser: Browser, axe: str, service: InMemory, window: tuple[int, int]) -> None:
    """Whatever stands in a reason."""
    dead_letter(service.deployment, b"{" + MARKUP.encode() * 50)
    open_corner(browser, service, window)
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    assert browser.run("document.querySelectorAll('main img').length") == 0
    browser.run(axe)
    assert browser.run(SERIOUS) == []
