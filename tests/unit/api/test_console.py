"""The console's files: pages for addresses, caching, and nothing from outside its directory."""

import gzip
from dataclasses import dataclass

import pytest

from tests.unit.api.parts import Api
from tunesmith.api.app import create_app
from tunesmith.api.console import Console

PAGE = "<!doctype html><title>Tunesmith</title>"


@pytest.fixture
def web(tmp_path):
    web = tmp_path / "web"
    (web / "assets").mkdir(parents=True)
    (web / "index.html").write_text(PAGE)
    (web / "favicon.svg").write_text("<svg/>")
    (web / "assets" / "main-1a2b.js").write_text("let x")
    (web / "assets" / "main-1a2b.js.gz").write_bytes(gzip.compress(b"let x"))
    (tmp_path / "secret.js").write_text("hidden away")
    (web / "assets" / "link.js").symlink_to(tmp_path / "secret.js")
    return web


@dataclass
class Browser:
    api: Api

    def __call__(self, path, method="GET", **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.api(method, path, token=None, headers=headers)


@pytest.fixture
def visit(state, web):
    app = create_app(state)
    app.router.default = Console(app.router.not_found, web)
    return Browser(Api(app, state))


@pytest.mark.parametrize(
    "path", ["/", "/tasks", "/tasks/7/log?line=3", "/index.html", "/a//b/", "/assets/x"]
)
def test_every_address_of_a_page_is_the_page(visit, path):
    response = visit(path)
    assert (response.status_code, response.text) == (200, PAGE)
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"


def test_the_page_may_load_nothing_from_elsewhere_and_be_in_no_frame(visit):
    for path in ("/", "/assets/main-1a2b.js"):
        headers = visit(path).headers
        assert headers["content-security-policy"] == (
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
            "frame-ancestors 'none'"
        )
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"


def test_hashed_files_are_kept_for_ever_and_come_packed_where_that_is_understood(visit):
    plain = visit("/assets/main-1a2b.js", accept_encoding="br, gzip;q=0")
    assert "content-encoding" not in plain.headers
    packed = visit("/assets/main-1a2b.js", accept_encoding="gzip, deflate, br")
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["content-length"] == str(len(gzip.compress(b"let x")))
    for response in (plain, packed):
        assert response.text == "let x"  # the client unpacks
        assert response.headers["content-type"].startswith("text/javascript")
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert response.headers["vary"] == "accept-encoding"
    assert plain.headers["etag"] != packed.headers["etag"]


def test_a_file_that_the_browser_has_is_not_sent_again(visit):
    first = visit("/favicon.svg")
    assert first.headers["cache-control"] == "no-cache"
    again = visit("/favicon.svg", if_none_match=f'"other", W/{first.headers["etag"]}')
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert visit("/favicon.svg", if_none_match='"other"').status_code == 200
    head = visit("/favicon.svg", method="HEAD")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/assets/other.js",
        "/assets/link.js",
        "/..%2fsecret.js",
        "/assets/..%2f..%2fsecret.js",
        "/%2fetc%2fhosts.conf",
        "/assets/%00.js",
        f"/{'x' * 5000}.js",
        "/assets/%ff.js",
    ],
)
def test_a_file_that_is_not_the_consoles_is_not_found(visit, path):
    response = visit(path)
    assert response.status_code == 404
    assert "hidden away" not in response.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/finetuning/unknown"),
        ("GET", "/docs/unknown"),
        ("GET", "/health/x"),
        ("GET", "/static-offline-docs/x.js"),
        ("POST", "/tasks"),
        ("DELETE", "/"),
    ],
)
def test_what_the_api_does_not_know_is_no_page(visit, state, method, path):
    response = visit(path, method=method, x_token=state.token)
    assert response.status_code == 404
    assert response.json()["code"] == 404


def test_an_installation_without_a_console_says_so(state, tmp_path):
    app = create_app(state)
    app.router.default = Console(app.router.not_found, tmp_path / "none")
    visit = Browser(Api(app, state))
    page = visit("/", accept_language="zh")
    assert page.status_code == 200
    assert '<html lang="zh">' in page.text
    assert "make console" in page.text
    assert "not part of this installation" in visit("/tasks", accept_language="en").text
    assert visit("/favicon.ico").status_code == 404
