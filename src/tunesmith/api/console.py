"""The web console's files: whatever no route answers is a page of the console.

Everything comes from this server: the policy in the headers forbids a browser all else.
"""

import mimetypes
from pathlib import Path

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tunesmith.api.language import language_of
from tunesmith.messages import Language, sentence

BUILT = Path(__file__).parents[1] / "web"
# What the API has below these and does not know is not found, not a page.
OF_THE_API = ("finetuning", "docs", "openapi.json", "health", "static-offline-docs")
HASHED = "assets"  # their names change with their content
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
}


class Console:
    """Answers with a file of `directory`, else with its index.html; the rest is `otherwise`'s."""

    def __init__(self, otherwise: ASGIApp, directory: Path = BUILT) -> None:
        self._otherwise = otherwise
        self._directory = directory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = None
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            request = Request(scope)
            path = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
            if path.split("/")[0] not in OF_THE_API:
                response = await run_in_threadpool(self._answer, path, request)
        await (response or self._otherwise)(scope, receive, send)

    def _answer(self, path: str, request: Request) -> Response | None:
        file = self._file(path)
        # A page's address is the console's own matter; a missing picture is missing.
        if file is None and "." not in path.rpartition("/")[2]:
            file = self._file("index.html")
            if file is None:
                return _not_built(language_of(request))
        if file is None:
            return None
        hashed = file.is_relative_to(self._directory.resolve() / HASHED)
        return _sent(file, request, immutable=hashed)

    def _file(self, path: str) -> Path | None:
        """Return the file at `path`, which may be any text; None where there is none."""
        root = self._directory.resolve()
        try:
            file = (root / path).resolve()
            return file if file.is_relative_to(root) and file.is_file() else None
        except (OSError, ValueError):
            return None


def _sent(file: Path, request: Request, *, immutable: bool) -> Response:
    keeping = "public, max-age=31536000, immutable" if immutable else "no-cache"
    headers = {**HEADERS, "cache-control": keeping}
    content_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    packed = file.with_name(f"{file.name}.gz")
    if packed.is_file():
        headers["vary"] = "accept-encoding"
        if _takes_gzip(request.headers.get("accept-encoding", "")):
            file = packed
            headers["content-encoding"] = "gzip"
    response = FileResponse(file, media_type=content_type, headers=headers, stat_result=file.stat())
    known = request.headers.get("if-none-match", "")
    if response.headers["etag"] in [tag.strip().removeprefix("W/") for tag in known.split(",")]:
        return Response(status_code=304, headers={**headers, "etag": response.headers["etag"]})
    return response


def _takes_gzip(header: str) -> bool:
    for part in header.lower().split(","):
        name, _, quality = (piece.strip() for piece in part.partition(";"))
        if name in ("gzip", "*"):
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _not_built(language: Language) -> Response:
    title, text = (sentence(f"console.{key}", language) for key in ("missing", "how"))
    page = (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8"><title>Tunesmith</title>'
        f'<main><h1>{title}</h1><p>{text}</p><p><a href="/docs">/docs</a></p></main></html>'
    )
    return HTMLResponse(page, headers={**HEADERS, "cache-control": "no-store"})
