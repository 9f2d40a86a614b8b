"""Typed HTTP client: `tunesmith.Client`."""

from tunesmith.client.client import Client, StreamEvent

__all__ = ["Client", "StreamEvent"]
