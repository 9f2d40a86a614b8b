"""`python -m tunesmith.check`: checks a data set in a process of its own; JSON in and out."""

import os
import sys
from typing import Any

from tunesmith.messages import sentence, user_language
from tunesmith.side_process import answer_one


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return the report that `request` asks for; `progress` shows on a terminal how far it is."""
    # Tokens are counted on all cores; transformers must not look for anything on the network.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    from tunesmith.check.run import run

    asked = dict(request)
    shows = asked.pop("progress", False) and sys.stderr.isatty()
    report = run(asked, _show if shows else _silent)
    if shows:
        sys.stderr.write("\r\x1b[K")
    return report.model_dump(mode="json", by_alias=True)


def _show(stage: str, rows: float) -> None:
    said = sentence(f"cli.check.{stage}", user_language(), {"rows": f"{rows:,.0f}"})
    sys.stderr.write(f"\r\x1b[K{said}")
    sys.stderr.flush()


def _silent(stage: str, rows: float) -> None:
    pass


if __name__ == "__main__":
    answer_one(answer)
