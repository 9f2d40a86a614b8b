"""How a server is asked: found, signed in, asked again where it restarts; answers or exceptions."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from tunesmith.client.answer import data_of
from tunesmith.client.discovery import is_local, kept_token, running_server
from tunesmith.client.server_sent_events import ServerSentEvent, parse
from tunesmith.errors import Misconfigured, TunesmithError, Unreachable
from tunesmith.messages import Language

SILENCE = 60.0  # seconds without a heartbeat after which a stream is dead
RETRY_DELAYS = (0.2, 5.0)  # seconds, first and longest

Answer = TypeVar("Answer")


class Connection:
    """A connection to a server; without `url` to the one of TUNESMITH_URL or of this machine."""

    def __init__(
        self,
        url: str | None,
        token: str | None,
        timeout: float,
        patience: float,
        language: Language,
        transport: httpx.BaseTransport | None,
    ) -> None:
        self.timeout = timeout
        """Seconds for an answer."""
        self.patience = patience
        """Seconds that a server which restarts is waited for."""
        self._discovers = not (url or os.environ.get("TUNESMITH_URL"))
        url = url or os.environ.get("TUNESMITH_URL") or running_server()
        self.url = url if "://" in url else f"http://{url}"
        token = token or os.environ.get("TUNESMITH_TOKEN") or kept_token(self.url)
        self._http = _client(self.url, token, timeout, language, transport)

    def close(self) -> None:
        self._http.close()

    def ask(
        self,
        shape: type[Answer],
        method: str,
        path: str,
        /,
        *,
        body: dict[str, Any] | None = None,
        timeout: float | None = None,
        **query: Any,
    ) -> Answer:
        """Make a request and return the answer's `data` as `shape`; raise what it says."""
        # Not httpx's own JSON: a NaN or a date of a YAML file must reach the server, which
        # refuses it with the field's name.
        content = None if body is None else json.dumps(body, ensure_ascii=False, default=str)
        try:
            response = self._http.request(
                method,
                path,
                params={name: value for name, value in query.items() if value is not None},
                content=content,
                headers={"content-type": "application/json"} if content else None,
                timeout=self.timeout if timeout is None else timeout,
            )
        except httpx.TransportError:
            raise Unreachable(url=self.url) from None
        data = data_of(response)
        try:
            return TypeAdapter(shape).validate_python(data)
        except ValidationError as error:
            reason = str(error).splitlines()[0]
            raise TunesmithError("answer_unreadable", url=self.url, reason=reason) from None

    @contextlib.contextmanager
    def open(
        self, path: str, params: dict[str, Any], headers: dict[str, str]
    ) -> Iterator[httpx.Response]:
        """Open an answer that is read bit by bit. Raises httpx's TransportError too."""
        timeout = httpx.Timeout(self.timeout, read=max(self.timeout, SILENCE))
        with self._http.stream(
            "GET", path, params=params, headers=headers, timeout=timeout
        ) as response:
            # An empty log has no range.
            if response.status_code >= 400 and response.status_code != 416:
                response.read()
                data_of(response)
            yield response

    def events(self, path: str, params: dict[str, Any], last: str) -> Iterator[ServerSentEvent]:
        """Yield the events after the id `last` until the server says that there are no more."""
        first, longest = RETRY_DELAYS
        delay = first
        alive = time.monotonic()
        while True:
            came = False
            headers = {"accept": "text/event-stream", "last-event-id": last}
            try:
                with self.open(path, params, headers) as response:
                    if response.status_code == 204:
                        return
                    for event in parse(response.iter_bytes()):
                        alive, came, last = time.monotonic(), True, event.id or last
                        delay = first
                        yield event
                alive = time.monotonic()
            except (httpx.TransportError, Unreachable):
                if time.monotonic() - alive > self.patience:
                    raise Unreachable(url=self.url) from None
                self.look_again()
            if not came:  # else it may be the end, which the server says when asked
                time.sleep(delay)
                delay = min(2 * delay, longest)

    def look_again(self) -> None:
        """A restarted server may listen on another port."""
        if self._discovers:
            with contextlib.suppress(Unreachable):
                self.url = running_server()
                self._http.base_url = httpx.URL(self.url)


def _client(
    url: str,
    token: str | None,
    timeout: float,
    language: Language,
    transport: httpx.BaseTransport | None,
) -> httpx.Client:
    headers: dict[str, str] = {"accept-language": language}
    if token:
        if not (token.isascii() and token.isprintable()):
            reason = "only printable ASCII characters can be sent"
            raise Misconfigured("setting_invalid", name="TUNESMITH_TOKEN", reason=reason)
        headers["authorization"] = f"Bearer {token}"
    try:
        return httpx.Client(
            base_url=url,
            headers=headers,
            timeout=timeout,
            transport=transport,
            # A proxy of the environment cannot reach this machine's own addresses.
            trust_env=not is_local(url),
        )
    except httpx.InvalidURL:
        raise Unreachable(url=url) from None
