"""A browser's session: a cookie that proves a sign-in, without the token in it. Pure.

The value is the time it ends and a signature of that with the server's token: it outlives a
restart, and a new token ends all sessions.
"""

import hmac

COOKIE = "tunesmith_session"
SECONDS = 30 * 24 * 3600


def new_session(token: str, now: float) -> str:
    """Return the value of a cookie that is good from `now` (Unix seconds) for 30 days."""
    ends = str(int(now) + SECONDS)
    return f"{ends}.{_signature(ends, token)}"


def is_session(value: str, token: str, now: float) -> bool:
    """Whether `value` was made by `new_session` with this token and has not ended."""
    ends, _, signature = value.partition(".")
    if not hmac.compare_digest(signature.encode(), _signature(ends, token).encode()):
        return False
    return now < int(ends)  # signed, so that it is a number of ours


def _signature(ends: str, token: str) -> str:
    said = f"tunesmith session {ends}".encode("utf-8", "surrogatepass")
    return hmac.digest(token.encode(), said, "sha256").hex()
