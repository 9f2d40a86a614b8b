"""The directory that a run loads its base model from: downloaded, converted, or there already."""

import os
from pathlib import Path

from tunesmith.base_model import problem_with
from tunesmith.errors import InvalidInput, RunFailure
from tunesmith.events import Download, Phase
from tunesmith.hub import TOKEN_VARIABLE, ensure_there
from tunesmith.spec import Spec
from tunesmith.trainer.report import Report
from tunesmith.trainer.stop import Stop


def find_or_download(spec: Spec, report: Report, stop: Stop) -> Path:
    """Return the directory to load, downloaded if it has to be."""
    path = Path(spec.base_model)
    if spec.hub is not None:
        if not path.is_dir():
            report.phase(Phase.DOWNLOADING)
        with stop.at_once():
            found = ensure_there(
                spec.hub,
                path,
                on_progress=lambda told: report.download(Download(**told)),
                on_waiting=lambda where: report.warning("download_waits", path=where),
            )
        if found and found != spec.hub.revision:
            revisions = {"found": found, "wanted": spec.hub.revision}
            report.warning("other_revision", path=str(path), **revisions)
        if problem := problem_with(path, "baseModel"):
            reason = {"code": problem.code, "params": problem.params}
            raise RunFailure("base_model_unreadable", path=str(path), reason=reason)
    # A secret that nothing from here on needs.
    os.environ.pop(TOKEN_VARIABLE, None)
    return path


def native(base: Path, spec: Spec, report: Report) -> Path:
    """Return the directory to load: one of ChatGLM's original layout is converted, once.

    With no cache directory the result lies beside the adapter, which needs it.
    """
    from tunesmith.chatglm.original import is_original_directory

    if not is_original_directory(base):
        return base
    from tunesmith.chatglm.cache import converted

    try:
        path, conversion = converted(base, Path(spec.cache_dir or spec.output_path))
    except InvalidInput as refused:
        problem = refused.problems[0]
        reason = {"code": problem.code, "params": problem.params}
        raise RunFailure("base_model_unreadable", path=str(base), reason=reason) from None
    for warning in conversion.warnings:
        report.warning(warning["code"], **warning["params"])
    return path
