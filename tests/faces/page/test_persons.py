"""Persons in the list and in the overview: long ids, and many of them."""

from tests.faces.page.stage import DESKTOP, begin, open_list

ROWS = "[...document.querySelectorAll('.sums')].pop().querySelectorAll('tbody tr')"


def test_the_middle_of_a_long_id_is_left_out(browser, service, http):
    """The whole is its title, and the way to the person."""
    user_id = "person-0123456789abcdef0123456789abcdef"
    begin(http, user_id, "hello")
    open_list(browser, service, f"?user_id={user_id}")
    name = "document.querySelector('a.session .name')"
    assert browser.run(f"{name}.textContent") == "person-0123456789ab…cdef"
    assert browser.run(f"{name}.title") == user_id
    browser.open(f"{service.url}/?view=overview", width=DESKTOP[0], height=DESKTOP[1])
    browser.wait_for(f"document.querySelector('a[href=\"/?user={user_id}\"]')")


def test_the_overview_shows_the_most_active_persons_first(browser, service, http):
    """All of them are one press away, and the reader goes on where the first ones ended."""
    for number in range(30):
        begin(http, f"many-{number}")
    for _ in range(3):
        begin(http, "many-7")
    browser.open(f"{service.url}/?view=overview", width=DESKTOP[0], height=DESKTOP[1])
    browser.wait_for("document.querySelectorAll('.sums').length === 2")
    assert browser.run(f"{ROWS}.length") == 20
    assert browser.run(f"{ROWS}[0].querySelector('th').textContent") == "many-7"
    button = "[...document.querySelectorAll('main button')].pop()"
    assert browser.run(f"{button}.textContent").startswith("Show all 3")
    browser.run(f"{button}.focus()")
    browser.press(" ")
    assert browser.run(f"{ROWS}.length") >= 30
    assert browser.run(f"[...{ROWS}].indexOf(document.activeElement.closest('tr'))") == 20
    assert browser.errors == []
