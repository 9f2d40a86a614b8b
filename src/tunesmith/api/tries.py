"""How many wrong tokens an address may try: a token of few characters must not be guessed.

Counted by address, so that nobody can keep the owner out from elsewhere, and by different tokens,
so that a script that goes on with an old one does not. Headers from where the right token has come
before are always looked at: scripts go on, whatever others behind the same proxy do.
"""

import threading
from dataclasses import dataclass, replace
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address

MOST = 10  # different wrong tokens
WITHIN = 60.0  # seconds
ADDRESSES = 10_000  # that are remembered; the first to come is the first to be forgotten


@dataclass(frozen=True)
class Tries:
    """The tries of an address."""

    wrong: tuple[tuple[bytes, float], ...] = ()
    """Digest of each different wrong token, and when it came: seconds of any clock."""
    known: bool = False
    """The right token has come from there."""

    def wait(self, now: float) -> float:
        """Return the seconds until another token is looked at, 0 for at once."""
        recent = self._recent(now)
        return recent[0][1] + WITHIN - now if len(recent) >= MOST else 0.0

    def after_wrong(self, token: bytes, now: float) -> "Tries":
        """Return the tries with one more."""
        digest = blake2b(token, digest_size=16).digest()
        recent = self._recent(now)
        if digest in (known for known, _ in recent):
            return self
        return replace(self, wrong=(*recent, (digest, now)))

    def _recent(self, now: float) -> tuple[tuple[bytes, float], ...]:
        return tuple(each for each in self.wrong if now - each[1] < WITHIN)


class AddressTries:
    """The tries of all addresses. May be called from any thread."""

    def __init__(self) -> None:
        self._of: dict[str, Tries] = {}
        self._lock = threading.Lock()

    def of(self, address: str) -> Tries:
        return self._of.get(_network(address), Tries())

    def note_wrong(self, address: str, token: bytes, now: float) -> None:
        """Remember a wrong token that came from `address` at `now`, seconds of any clock."""
        with self._lock:
            self._keep(address, self.of(address).after_wrong(token, now))

    def note_right(self, address: str) -> None:
        """Remember that the right token came from `address`."""
        if not self.of(address).known:
            with self._lock:
                self._keep(address, replace(self.of(address), known=True))

    def _keep(self, address: str, tries: Tries) -> None:
        self._of[_network(address)] = tries
        if len(self._of) > ADDRESSES:
            del self._of[next(iter(self._of))]


def _network(address: str) -> str:
    """Return what one machine cannot leave: of IPv6 it has as many addresses as it likes."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:  # a socket of the file system
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or parsed.packed[:8].hex())
