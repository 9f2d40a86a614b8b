"""Browsers: signing in with a cookie, and what a foreign page or name may not do with it."""

import time
from dataclasses import replace

import pytest

from tests.unit.api.parts import TOKEN, Api
from tunesmith import __version__
from tunesmith.api.app import create_app
from tunesmith.api.origin import is_known_host, is_same_origin
from tunesmith.api.session import COOKIE, SECONDS, is_session, new_session

HERE = {"host": "127.0.0.1:8000"}
PAGE = {**HERE, "origin": "http://127.0.0.1:8000"}


def browser(api, method, name, cookie=None, headers=HERE, **options):
    headers = {**headers, **({"cookie": f"{COOKIE}={cookie}"} if cookie is not None else {})}
    return api(method, f"/finetuning/{name}", token=None, headers=headers, **options)


@pytest.fixture
def session():
    return new_session(TOKEN, time.time())


def test_the_token_is_exchanged_for_a_cookie_that_no_script_can_read(api):
    response = browser(api, "POST", "signIn", json={"token": f" {TOKEN}\n"}, headers=PAGE)
    assert response.json()["data"] == {"userID": None, "name": None, "version": __version__}
    cookie, *attributes = response.headers["set-cookie"].split("; ")
    assert {each.lower() for each in attributes} == {
        "httponly", "samesite=strict", "path=/", f"max-age={SECONDS}"
    }  # fmt: skip
    value = cookie.removeprefix(f"{COOKIE}=")
    assert TOKEN not in value
    me = browser(api, "GET", "getMe", value)
    assert me.json()["data"]["version"] == __version__


def test_behind_tls_the_cookie_is_for_tls_only(api):
    headers = {"host": "127.0.0.1", "origin": "https://127.0.0.1"}
    response = browser(api, "POST", "signIn", json={"token": TOKEN}, headers=headers)
    assert "Secure" in response.headers["set-cookie"]


@pytest.mark.parametrize("token", ["wrong", TOKEN[:-1], f"{TOKEN}x", "日本", "\x00"])
def test_a_wrong_token_is_told_in_a_sentence_and_sets_nothing(api, token):
    response = browser(api, "POST", "signIn", json={"token": token})
    assert (response.status_code, response.json()["code"]) == (401, 401)
    assert response.json()["msg"].startswith("This is not the token")
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize("body", [{}, {"token": ""}, {"token": None}, {"token": 1}, {"tokn": "x"}])
def test_a_sign_in_without_a_token_names_the_field(api, body):
    assert browser(api, "POST", "signIn", json=body).status_code == 422


def test_signing_out_clears_the_cookie_even_of_a_session_that_has_ended(api):
    for cookie in (None, "old"):
        response = browser(api, "POST", "signOut", cookie, headers=PAGE)
        assert response.status_code == 200
        assert "Max-Age=0" in response.headers["set-cookie"]


@pytest.mark.parametrize("damage", ["", "x", "1.", ".", "99999999999.00", "日本"])
def test_a_cookie_that_the_server_did_not_make_is_nobody(api, damage):
    assert not is_session(damage, TOKEN, time.time())
    if damage.isascii():
        assert browser(api, "GET", "getMe", damage).status_code == 401


def test_a_session_ends_with_its_time_or_with_the_token():
    session = new_session(TOKEN, 1000.0)
    assert is_session(session, TOKEN, 999.0 + SECONDS)
    assert not is_session(session, TOKEN, 1000.0 + SECONDS)
    assert not is_session(session, "another-token", 1001.0)
    later = session.replace(str(1000 + SECONDS), str(2000 + SECONDS))
    assert not is_session(later, TOKEN, 1001.0)


def test_a_session_reads_and_its_own_page_writes(api, session):
    assert browser(api, "GET", "getTaskList", session).status_code == 200
    assert browser(api, "HEAD", "downloadTaskLog", session).status_code == 422  # no id
    # 404: let in, and there is no such task
    assert browser(api, "POST", "stopTask?id=1", session, PAGE).status_code == 404
    fetched = {**HERE, "sec-fetch-site": "same-origin"}
    assert browser(api, "POST", "stopTask?id=1", session, fetched).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        HERE,
        {**HERE, "origin": "http://evil.example"},
        {**HERE, "origin": "http://127.0.0.1:9000"},
        {**HERE, "origin": "http://127.0.0.1"},
        {**HERE, "origin": "null"},
        {**HERE, "origin": ""},
        {**HERE, "origin": "http://evil.example", "sec-fetch-site": "same-origin"},
        {**HERE, "sec-fetch-site": "cross-site"},
        {**HERE, "sec-fetch-site": "same-site"},
        {**HERE, "sec-fetch-site": "none"},
    ],
)
@pytest.mark.parametrize(
    ("method", "name"), [("POST", "createTask"), ("DELETE", "deleteTask"), ("POST", "unknown")]
)
def test_a_write_from_another_page_is_refused(api, session, method, name, headers):
    response = browser(api, method, name, session, headers)
    assert (response.status_code, response.json()["code"]) == (403, 403)
    assert "another page" in response.json()["msg"]


def test_another_page_can_neither_sign_in_nor_out(api):
    foreign = {**HERE, "origin": "http://evil.example"}
    assert browser(api, "POST", "signOut", headers=foreign).status_code == 403
    response = browser(api, "POST", "signIn", json={"token": TOKEN}, headers=foreign)
    assert response.status_code == 403


def test_a_name_that_points_here_is_refused_unless_it_is_allowed(api, state, session):
    headers = {"host": "tunes.example.com:8443", "origin": "https://tunes.example.com:8443"}
    for method, name in (("GET", "getTaskList"), ("POST", "stopTask"), ("POST", "signIn")):
        refused = browser(api, method, name, session, headers)
        assert refused.status_code == 403
        assert "TUNESMITH_ALLOWED_HOSTS" in refused.json()["msg"]
    settings = state.settings.model_copy(update={"allowed_hosts": ("tunes.example.com",)})
    state = replace(state, settings=settings)
    allowed = Api(create_app(state), state)
    assert browser(allowed, "GET", "getTaskList", session, headers).status_code == 200
    assert browser(allowed, "POST", "stopTask?id=1", session, headers).status_code == 404


def test_the_token_in_a_header_needs_neither_check(api):
    foreign = {"host": "anything.example", "origin": "http://evil.example"}
    assert api("GET", "/finetuning/getMe", headers=foreign).status_code == 200
    assert api("POST", "/finetuning/stopTask?id=1", headers=foreign).status_code == 404


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1", True),
        ("192.168.1.7:8000", True),
        ("[::1]:8000", True),
        ("localhost:8000", True),
        ("LOCALHOST.", True),
        ("console.localhost", True),
        ("node7.lab.example:8000", True),
        ("node7", True),
        ("node7.local", True),
        ("node7.evil.example", False),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("", False),
        ("[::1", False),
        ("a:b:c", False),
    ],
)
def test_addresses_and_own_names_are_known_hosts(monkeypatch, host, known):
    monkeypatch.setattr("socket.gethostname", lambda: "Node7.lab.example")
    assert is_known_host(host, ()) == known


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://a.example:80", "a.example", True),
        ("https://a.example", "a.example:443", True),
        ("https://A.example", "a.example", True),
        ("https://a.example", "a.example:80", False),
        ("http://a.example.", "a.example", False),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://a.example:99999", "a.example", False),
        ("http://", "", False),
    ],
)
def test_an_origin_is_the_hosts_own_with_or_without_the_usual_port(origin, host, same):
    assert is_same_origin({"origin": origin, "host": host}) == same
