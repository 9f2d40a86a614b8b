"""Which hub is asked, where, and with what token: our settings, else the hubs' own variables."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tunesmith.settings import Settings

Source = Literal["huggingface", "modelscope"]

# How a trainer gets the token: by its environment, never by a file or an argument.
TOKEN_VARIABLE = "TUNESMITH_HUB_TOKEN"  # noqa: S105  (a name, no secret)
ENDPOINTS: Mapping[Source, str] = {
    "huggingface": "https://huggingface.co",
    "modelscope": "https://www.modelscope.cn",
}
# What the hubs' own tools read: endpoint and token.
STANDARD: Mapping[Source, tuple[str, str]] = {
    "huggingface": ("HF_ENDPOINT", "HF_TOKEN"),
    "modelscope": ("MODELSCOPE_ENDPOINT", "MODELSCOPE_API_TOKEN"),
}
_YES = frozenset({"1", "on", "yes", "true"})


@dataclass(frozen=True)
class Access:
    """How to reach a hub."""

    source: Source
    endpoint: str
    token: str | None = field(repr=False)
    offline: bool
    """Nothing may be asked of the network."""


def access_of(settings: Settings, environment: Mapping[str, str] = os.environ) -> Access:
    """Return the access that `settings` give; what they leave open the hub's own variables say."""
    source = settings.hub
    endpoint_variable, token_variable = STANDARD[source]
    endpoint = settings.hub_endpoint or environment.get(endpoint_variable) or ENDPOINTS[source]
    offline = settings.offline
    if offline is None:
        variable = environment.get("HF_HUB_OFFLINE", "") if source == "huggingface" else ""
        offline = variable.strip().lower() in _YES
    return Access(
        source=source,
        endpoint=endpoint.rstrip("/"),
        token=settings.hub_token or environment.get(token_variable) or None,
        offline=offline,
    )


def headers(source: Source, token: str | None) -> dict[str, str]:
    """Return the headers that sign a download in; httpx drops them where it leads elsewhere."""
    if not token:
        return {}
    signed_in = {"Authorization": f"Bearer {token}"}
    if source == "modelscope":  # its older addresses know the token as a session's cookie only
        signed_in["Cookie"] = f"m_session_id={token}"
    return signed_in
