"""Guessing tokens is slow, and keeps nobody else out."""

from tests.unit.api.parts import TOKEN
from tunesmith.api import tries as limits
from tunesmith.api.tries import MOST, WITHIN, AddressTries, Tries

GUESSES = [f"guess-{number}" for number in range(MOST)]


def tried(*times: float) -> Tries:
    tries = Tries()
    for number, at in enumerate(times):
        tries = tries.after_wrong(f"{number}".encode(), at)
    return tries


def test_the_limit_is_on_different_tokens_within_a_time():
    assert tried(*range(MOST - 1)).wait(MOST) == 0
    full = tried(*range(MOST))
    assert full.wait(MOST) == WITHIN - MOST
    assert full.wait(WITHIN - 1) == 1
    assert full.wait(WITHIN) == 0  # the first try is forgotten: one more
    assert full.after_wrong(b"more", WITHIN).wait(WITHIN) == 1


def test_the_same_token_again_counts_once():
    tries = Tries()
    for at in range(1000):
        tries = tries.after_wrong(b"an old one", float(at))
    assert len(tries.wrong) == 1


def test_addresses_are_counted_apart_and_an_ipv6_network_as_one():
    tries = AddressTries()
    for number in range(MOST):
        tries.note_wrong("10.0.0.1", b"%d" % number, 0.0)
        tries.note_wrong(f"2001:db8::{number}", b"%d" % number, 0.0)
    assert tries.of("10.0.0.1").wait(0.0) == WITHIN
    assert tries.of("::ffff:10.0.0.1").wait(0.0) == WITHIN
    assert tries.of("10.0.0.2").wait(0.0) == 0
    assert tries.of("2001:db8::ffff").wait(0.0) == WITHIN
    assert tries.of("2001:db8:0:1::1").wait(0.0) == 0
    assert tries.of("").wait(0.0) == 0


def test_the_table_does_not_grow_without_end(monkeypatch):
    monkeypatch.setattr(limits, "ADDRESSES", 3)
    tries = AddressTries()
    for number in range(5):
        tries.note_wrong(f"10.0.0.{number}", b"x", 0.0)
    assert [bool(tries.of(f"10.0.0.{number}").wrong) for number in range(5)] == [
        False, False, True, True, True,
    ]  # fmt: skip


def sign_in(api, token, **headers):
    return api("POST", "/finetuning/signIn", token=None, json={"token": token}, headers=headers)


def test_after_too_many_wrong_tokens_the_right_one_has_to_wait_too(api, state, monkeypatch):
    for guess in GUESSES:
        assert sign_in(api, guess).status_code == 401
    response = sign_in(api, TOKEN)
    assert (response.status_code, response.json()["code"]) == (429, 429)
    seconds = int(response.headers["retry-after"])
    assert WITHIN - 5 < seconds <= WITHIN
    assert response.json()["msg"].endswith(f"in {seconds} s.")
    assert "秒后再试" in sign_in(api, TOKEN, **{"accept-language": "zh"}).json()["msg"]
    assert api.get("getMe").status_code == 429  # headers are no way around it
    monkeypatch.setattr("time.monotonic", lambda: 1e12)
    assert sign_in(api, TOKEN).status_code == 200


def test_wrong_tokens_in_headers_count(api):
    for guess in GUESSES:
        response = api("GET", "/finetuning/getMe", token=guess)
        assert response.status_code == 401
    assert sign_in(api, TOKEN).status_code == 429
    assert api("GET", "/finetuning/getMe", token=None).status_code == 401  # it tries nothing


def test_scripts_and_sessions_that_were_in_go_on(api):
    assert api.get("getMe").status_code == 200
    cookie = sign_in(api, TOKEN).headers["set-cookie"].partition(";")[0]
    for guess in GUESSES:
        sign_in(api, guess)
    assert sign_in(api, TOKEN).status_code == 429
    assert api.get("getMe").status_code == 200
    page = {"host": "127.0.0.1", "cookie": cookie}
    assert api("GET", "/finetuning/getMe", token=None, headers=page).status_code == 200
    assert api("GET", "/finetuning/getMe", token="one more").status_code == 429


def test_a_script_with_an_old_token_keeps_nobody_out(api):
    for _ in range(3 * MOST):
        assert api("GET", "/finetuning/getMe", token="an-old-token").status_code == 401
    assert sign_in(api, TOKEN).status_code == 200
