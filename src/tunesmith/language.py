"""The user's language, as the locale says it."""

import os

from tunesmith.messages import Language


def user_language() -> Language:
    """Return zh for a Chinese locale (LC_ALL, LC_MESSAGES or LANG, in this order), else en."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if locale := os.environ.get(name):
            return "zh" if locale.lower().startswith("zh") else "en"
    return "en"
