"""A hub on this machine, over real HTTP: as Hugging Face's and ModelScope's clients ask for it."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = 10_000  # bytes from which a file is kept in LFS: with a hash, at another address
PIECE = 64 << 10


@dataclass
class Repo:
    """A repository, and how it behaves."""

    files: dict[str, bytes]
    commit: str = "a" * 40
    branches: tuple[str, ...] = ("main", "master")
    gated: bool = False
    token_refused: bool = False
    """As the hub answers a token that is nobody's."""
    break_after: dict[str, int] = field(default_factory=dict)
    """File -> bytes of an answer after which the connection is closed, each time."""
    hold_after: dict[str, int] = field(default_factory=dict)
    """File -> bytes of an answer after which nothing comes until `Hub.go` is set."""
    served: dict[str, bytes] = field(default_factory=dict)
    """File -> what comes instead of what is told."""


@dataclass(frozen=True)
class Asked:
    """A request that came in."""

    method: str
    path: str
    host: str
    range: str | None
    signed_in: bool


class Hub:
    """Its repositories, and what it was asked."""

    def __init__(self, token: str = "hub-secret-token") -> None:
        self.token = token
        self.repos: dict[str, Repo] = {}
        self.asked: list[Asked] = []
        self.go = threading.Event()
        self.holding = threading.Event()
        """Set when a held answer has sent its part."""
        self.url = ""
        self.sent = 0
        """Bytes of files."""

    def add(self, repo: str, directory: Path, **behaviour: object) -> Repo:
        """Offer the files of `directory`."""
        files = {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}
        self.repos[repo] = Repo(files, **behaviour)  # type: ignore[arg-type]
        return self.repos[repo]

    def of(self, text: str) -> list[Asked]:
        return [asked for asked in self.asked if text in asked.path]


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Give a hub that listens on this machine."""
    hub = Hub()

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield hub
    finally:
        hub.go.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._route()

    def do_GET(self) -> None:
        self._route()

    def _route(self) -> None:
        url = urlsplit(self.path)
        signed_in = self.hub.token in (self.headers.get("authorization") or "")
        host = self.headers["host"].partition(":")[0]
        self.hub.asked.append(
            Asked(self.command, self.path, host, self.headers.get("range"), signed_in)
        )
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        match parts:
            case ["api", "models", org, name, *rest]:
                self._info(f"{org}/{name}", rest[1] if rest[:1] == ["revision"] else None)
            case ["api", "v1", "models", org, name, "repo", "files"]:
                self._modelscope_files(f"{org}/{name}", query["Revision"], signed_in)
            case ["api", "v1", "models", org, name, "repo"]:
                if repo := self._repo(f"{org}/{name}"):
                    self._file(repo, query["FilePath"])
            case ["openapi", "v1", "models", org, name]:
                if self._repo(f"{org}/{name}"):
                    self._json({"success": True, "data": {"id": f"{org}/{name}"}})
            case ["cdn", org, name, file]:
                self._file(self.hub.repos[f"{org}/{name}"], file)
            case [org, name, "resolve", revision, file]:
                self._resolve(f"{org}/{name}", revision, file, signed_in)
            case _:
                self._json({"error": "not found"}, 404)

    def _repo(self, name: str) -> Repo | None:
        repo = self.hub.repos.get(name)
        if repo is None:
            self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        return repo

    def _info(self, name: str, revision: str | None) -> None:
        repo = self._repo(name)
        if repo is None:
            return
        if repo.token_refused:
            message = {"X-Error-Message": "Invalid credentials in Authorization header"}
            self._json({"error": "Invalid credentials"}, 401, message)
            return
        if revision not in (None, repo.commit, *repo.branches):
            self._json({"error": "no revision"}, 404, {"X-Error-Code": "RevisionNotFound"})
            return
        siblings = []
        for file, content in repo.files.items():
            told: dict[str, object] = {"rfilename": file, "size": len(content), "blobId": "b" * 40}
            if len(content) >= LARGE:
                sha256 = hashlib.sha256(content).hexdigest()
                told["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 130}
            siblings.append(told)
        self._json(
            {
                "id": name,
                "sha": repo.commit,
                "private": False,
                "gated": "manual" if repo.gated else False,
                "siblings": siblings,
            }
        )

    def _modelscope_files(self, name: str, revision: str, signed_in: bool) -> None:
        repo = self._repo(name)
        if repo is None:
            return
        if repo.gated and not signed_in:
            status = 403 if self.headers.get("authorization") else 401
            self._json({"Code": status, "Message": "no permission", "Success": False}, status)
            return
        if revision not in repo.branches:
            self._json({"Code": 404, "Message": "no revision"}, 404)
            return
        files = [
            {
                "Path": file,
                "Name": file,
                "Type": "blob",
                "Size": len(content),
                "Sha256": hashlib.sha256(content).hexdigest(),
            }
            for file, content in repo.files.items()
        ]
        self._json({"Code": 200, "Success": True, "Data": {"Files": files}})

    def _resolve(self, name: str, revision: str, file: str, signed_in: bool) -> None:
        repo = self._repo(name)
        if repo is None:
            return
        if repo.gated and not signed_in:
            self._json({"error": "gated"}, 401, {"X-Error-Code": "GatedRepo"})
        elif file not in repo.files:
            self._json({"error": "no file"}, 404, {"X-Error-Code": "EntryNotFound"})
        elif len(repo.files[file]) >= LARGE:
            # As the real one: large files lie on another host.
            host = self.hub.url.replace("127.0.0.1", "localhost")
            size = str(len(repo.files[file]))
            headers = {"Location": f"{host}/cdn/{name}/{file}", "X-Repo-Commit": repo.commit}
            self._json({}, 302, headers | {"X-Linked-Size": size, "X-Linked-Etag": '"e"'})
        else:
            self._file(repo, file)

    def _file(self, repo: Repo, file: str) -> None:
        content = repo.served.get(file, repo.files[file])
        start = 0
        if asked := self.headers.get("range"):
            start = int(asked.removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", '"e"')
        self.send_header("X-Repo-Commit", repo.commit)
        self.end_headers()
        if self.command == "HEAD":
            return
        body = content[start:]
        if file in repo.hold_after and not self.hub.go.is_set():
            self._send(body[: repo.hold_after[file]])
            body = body[repo.hold_after[file] :]
            self.hub.holding.set()
            self.hub.go.wait()
        if file in repo.break_after:
            self._send(body[: repo.break_after[file]])
            self.close_connection = True
            return
        self._send(body)

    def _send(self, body: bytes) -> None:
        try:
            for begin in range(0, len(body), PIECE):
                self.wfile.write(body[begin : begin + PIECE])
                self.hub.sent += len(body[begin : begin + PIECE])
            self.wfile.flush()
        except OSError:  # the other side has gone
            self.close_connection = True

    def _json(
        self, value: object, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
