"""Who may see the console: the token, the cookie that it becomes, and the way out."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.console import Console, visit

pytestmark = pytest.mark.processes


def enter(page: Page, token: str) -> None:
    page.get_by_label("令牌", exact=True).fill(token)
    page.get_by_role("button", name="登录", exact=True).click()


def test_the_token_signs_in_and_becomes_a_cookie_that_no_script_reads(
    browser: Browser, console: Console
) -> None:
    with visit(browser, console, signed_in=False) as page:
        page.goto("/help?from=here")
        expect(page).to_have_url(re.compile(r"/sign-in\?next="))
        enter(page, "not the token")
        expect(page.get_by_role("alert")).to_be_visible()
        assert page.context.cookies() == []
        enter(page, console.server.token)
        expect(page).to_have_url(f"{console.url}/help?from=here")
        (cookie,) = page.context.cookies()
        assert cookie["httpOnly"] is True
        assert cookie["sameSite"] == "Strict"
        everything = (
            "[document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage)]"
        )
        assert console.server.token not in str(page.evaluate(everything))
        assert cookie["name"] not in page.evaluate("document.cookie")


def test_signing_out_ends_it(page: Page, console: Console) -> None:
    page.goto("/help")
    page.get_by_role("button", name="账户").click()
    page.get_by_role("menuitem", name="退出登录").click()
    expect(page).to_have_url(re.compile("/sign-in"))
    assert page.context.cookies() == []
    page.goto("/tasks")
    expect(page.get_by_label("令牌", exact=True)).to_be_visible()


def test_where_to_go_on_is_an_address_of_this_console(browser: Browser, console: Console) -> None:
    with visit(browser, console, signed_in=False) as page:
        for elsewhere in ("//example.com/", "https://example.com/", "/\\example.com"):
            page.goto(f"/sign-in?next={elsewhere}")
            enter(page, console.server.token)
            expect(page).to_have_url(f"{console.url}/tasks")
