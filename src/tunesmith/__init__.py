"""Tunesmith: fine-tune open language models on your own machines."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunesmith.client import Client as Client

__version__ = "0.1.0"
__all__ = ["Client", "__version__"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: the supervisor and the trainer import this package and need no httpx.
    if name == "Client":
        from tunesmith.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
