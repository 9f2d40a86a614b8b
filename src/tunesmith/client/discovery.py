"""Finds the server of this machine and its token, as they lie in the data directory."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from tunesmith.errors import Unreachable
from tunesmith.run_directory import read_json
from tunesmith.settings import load_settings


def running_server() -> str:
    """Return the URL that the server on the data directory left there."""
    settings = load_settings()
    try:
        url = (read_json(settings.server_file) or {}).get("url")
    except (OSError, ValueError):
        url = None
    if not isinstance(url, str):
        raise Unreachable("no_server", path=str(settings.data_dir))
    return url


def kept_token(url: str) -> str | None:
    """Return the token of the data directory, which no other machine is to see."""
    if not is_local(url):
        return None
    settings = load_settings()
    try:
        return settings.token or settings.token_file.read_text().strip()
    except OSError:
        return None


def is_local(url: str) -> bool:
    """Whether `url` is an address of this machine only."""
    try:
        host = urlsplit(url).hostname or ""
        if host == "localhost" or host.endswith(".localhost"):
            return True
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
