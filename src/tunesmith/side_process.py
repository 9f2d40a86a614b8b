"""One question to a Python process of its own: JSON in, JSON out.

Server and command line must stay small, so what needs torch, transformers or a long computation
(preview of a sample, check of a data set, conversion of a base model) is asked this way.
`ask` is the asking side, `answer_one` the other one's main function.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tunesmith.errors import FieldProblem, InvalidInput, Refused, TunesmithError


def ask(
    module: str, request: Mapping[str, Any], seconds: float | None = None, quiet: bool = True
) -> Any:
    """Run `python -m module` with `request` and return its answer.

    Raises InvalidInput, Refused or TunesmithError as the other side did, `side_process_timeout`
    after `seconds`, `side_process_failed` when it ended without an answer. `quiet` keeps its
    standard error from ours.
    """
    # Its temporary files are ours to remove: a killed process leaves them.
    with tempfile.TemporaryDirectory(prefix="tunesmith-", ignore_cleanup_errors=True) as scratch:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if quiet else None,
            start_new_session=True,
            env=os.environ | {"TMPDIR": scratch},
        )
        try:
            output, errors = process.communicate(json.dumps(request).encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Refused("side_process_timeout", seconds=seconds) from None
        finally:
            if process.poll() is None:  # too late, or Ctrl-C here
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
    try:
        reply = json.loads(output)
    except ValueError:
        lines = (errors or b"").decode("utf-8", "replace").strip().splitlines()
        reason = lines[-1] if lines else f"exit code {process.returncode}"
        raise TunesmithError("side_process_failed", reason=reason) from None
    _raise_if_refused(reply)
    return reply["answer"]


def answer_one(function: Callable[[dict[str, Any]], Any]) -> None:
    """Answer the request on standard input with `function`, and leave at once.

    Standard output is kept for the answer: what libraries print there goes to standard error.
    """
    out = os.dup(1)
    os.dup2(2, 1)
    try:
        reply = {"answer": function(json.load(sys.stdin))}
    except InvalidInput as refused:
        reply = {"problems": [[each.field, each.code, each.params] for each in refused.problems]}
    except TunesmithError as error:
        reply = {"code": error.code, "params": error.params, "refused": isinstance(error, Refused)}
    with open(out, "w", encoding="utf-8", errors="backslashreplace") as answer:
        json.dump(reply, answer, ensure_ascii=False, default=_plain)
    sys.stderr.flush()
    os._exit(0)  # torch's teardown takes longer than the answer


def _raise_if_refused(reply: Mapping[str, Any]) -> None:
    if "problems" in reply:
        raise InvalidInput(*(FieldProblem(*each) for each in reply["problems"]))
    if "code" in reply:
        kind = Refused if reply["refused"] else TunesmithError
        raise kind(reply["code"], **reply["params"])


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value.tolist()  # numpy's
