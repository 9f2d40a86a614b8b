"""Which page a browser's request comes from, and under which name it calls this server. Pure.

A cookie is sent by the browser, whoever made it do so: these two checks keep out other sites
(cross-site request forgery) and a foreign name that points here (DNS rebinding).
"""

import socket
from collections.abc import Collection, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

PORTS = {"http": 80, "https": 443}


def is_known_host(host: str, allowed: Collection[str]) -> bool:
    """Whether the header `Host` names this machine: address, localhost, own name or `allowed`."""
    name = _parts(f"//{host}")[0].rstrip(".")
    if not name:
        return False
    if name == "localhost" or name.endswith(".localhost") or name in allowed:
        return True
    try:
        ip_address(name)
    except ValueError:
        own = socket.gethostname().lower()
        short = own.partition(".")[0]
        return name in (own, short, f"{short}.local")
    return True


def is_same_origin(headers: Mapping[str, str]) -> bool:
    """Whether a page of this server sent the request, by `Origin`, else by `Sec-Fetch-Site`."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site") == "same-origin"
    default = PORTS.get(urlsplit(origin).scheme.lower())
    name, port = _parts(origin)
    host, host_port = _parts(f"//{headers.get('host', '')}")
    return bool(name) and (name, port or default) == (host, host_port or default)


def is_from_page(headers: Mapping[str, str]) -> bool:
    """Whether a browser's page sent the request, and not a script or a shell."""
    return "origin" in headers or "sec-fetch-site" in headers


def _parts(url: str) -> tuple[str, int | None]:
    """Return host name and port of `url`; "" for what is none."""
    try:
        split = urlsplit(url)
        return split.hostname or "", split.port
    except ValueError:
        return "", None
