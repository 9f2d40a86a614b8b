"""Base models from Hugging Face's hub or ModelScope: found at creation, downloaded by the trainer.

What speaks with a hub runs in processes of its own (`listing`, `download`): the hubs' libraries
read their settings when they are imported, and nothing of them stays in a server or a trainer.
"""

from tunesmith.hub.access import TOKEN_VARIABLE, Access, access_of
from tunesmith.hub.fetch import ensure_there
from tunesmith.hub.find import Found, find_base_model

__all__ = [
    "TOKEN_VARIABLE",
    "Access",
    "Found",
    "access_of",
    "ensure_there",
    "find_base_model",
]
