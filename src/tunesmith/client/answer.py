"""What an HTTP answer of the server says: its data, or the package's error."""

from typing import Any

import httpx

from tunesmith.errors import (
    Conflict,
    FieldProblem,
    InvalidInput,
    NotFound,
    NotSignedIn,
    Refused,
    TunesmithError,
    Unreachable,
)

# A proxy answers in the place of a server that is away, or the server is closing.
GATEWAY_STATUSES = (502, 503, 504)


def data_of(response: httpx.Response) -> Any:
    """Return what the envelope holds; raise the error that it, or the HTTP status, says."""
    url = str(response.url.join("/"))
    if response.status_code in GATEWAY_STATUSES:
        raise Unreachable(url=url)
    try:
        envelope = response.json()
    except ValueError:
        envelope = None
    if not isinstance(envelope, dict) or "code" not in envelope:
        reason = f"HTTP {response.status_code}, {response.headers.get('content-type', 'no type')}"
        raise TunesmithError("answer_unreadable", url=url, reason=reason)
    if response.is_success and envelope["code"] == 0:
        return envelope.get("data")
    raise _error(response.status_code, str(envelope.get("msg")), envelope.get("data"))


def _error(status: int, message: str, data: Any) -> TunesmithError:
    """Return the package's error for a refusal; the server's own sentence stays."""
    problems = data.get("errors") if isinstance(data, dict) else None
    if problems:
        return InvalidInput(
            *(
                FieldProblem(each["field"], "field.value_error", {"reason": each["message"]})
                for each in problems
            )
        )
    if status == 401:
        return NotSignedIn()
    kinds: dict[int, type[TunesmithError]] = {404: NotFound, 409: Conflict}
    kind = kinds.get(status, Refused if 400 <= status < 500 else TunesmithError)
    return kind("refused_by_server", message=message)
