"""Asks a hub for a model's revision and files: `python -m tunesmith.hub.listing` (side_process).

Its functions belong into a process of their own: the libraries take their settings from the
environment, at import.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from tunesmith.errors import FieldProblem, InvalidInput, Refused
from tunesmith.hub.access import Access, Source
from tunesmith.hub.files import RemoteFile, problem, wanted
from tunesmith.side_process import answer_one, ask

TIMEOUT = 10.0  # seconds for an answer of the hub
PATIENCE = 30.0  # seconds for all of them, until the hub counts as unreachable
LONGEST_REASON = 200  # characters


@dataclass(frozen=True)
class Listing:
    """What to download."""

    revision: str
    """The commit that a Hugging Face revision stands for; ModelScope's revision as it is."""
    files: tuple[RemoteFile, ...]


def ask_hub(access: Access, repo: str, revision: str | None) -> Listing:
    """Ask the hub from a process of its own. Raises InvalidInput that says what is wrong."""
    request = {
        "source": access.source,
        "repo": repo,
        "revision": revision,
        "endpoint": access.endpoint,
        "token": access.token,
    }
    try:
        answer = ask("tunesmith.hub.listing", request, seconds=PATIENCE)
    except Refused as refused:
        if refused.code != "side_process_timeout":
            raise
        reason = f"no answer within {PATIENCE:.0f} s"
        _refuse("hub_unreachable", endpoint=access.endpoint, reason=reason)
    return Listing(answer["revision"], tuple(RemoteFile(**each) for each in answer["files"]))


def list_files(
    source: Source, repo: str, revision: str | None, endpoint: str, token: str | None
) -> Listing:
    """Return the wanted files of `repo` at `revision` (None: the hub's default).

    Raises InvalidInput, with a problem of `baseModel`, for whatever keeps it from being
    downloaded as a base model.
    """
    lister = _huggingface if source == "huggingface" else _modelscope
    listing = lister(repo, revision, endpoint, token)
    files = tuple(wanted(listing.files))
    if code := problem(files):
        _refuse(code, repo=repo, endpoint=endpoint)
    return Listing(listing.revision, files)


def _huggingface(repo: str, revision: str | None, endpoint: str, token: str | None) -> Listing:
    # Read at import. Offline mode was ours to decide; a token of ours is passed on explicitly.
    os.environ.pop("HF_HUB_OFFLINE", None)
    os.environ |= {"HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_TELEMETRY": "1"}
    from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url
    from huggingface_hub import errors as told

    signed_in = token or False  # False: not even a token that lies in the home
    try:
        api = HfApi(endpoint=endpoint, token=signed_in)
        info = api.model_info(repo, revision=revision, files_metadata=True, timeout=TIMEOUT)
        if not info.sha or info.siblings is None:
            raise ValueError("the answer has no revision")
        # A gated repository is described to everybody, but its files are not given to everybody.
        url = hf_hub_url(repo, "config.json", revision=info.sha, endpoint=endpoint)
        if any(file.rfilename == "config.json" for file in info.siblings):
            get_hf_file_metadata(url, token=signed_in, timeout=TIMEOUT)
    except told.GatedRepoError:  # a RepositoryNotFoundError: looked for before it
        _refuse("hub_gated", repo=repo, url=f"{endpoint}/{repo}")
    except told.RevisionNotFoundError:
        _refuse("hub_revision_missing", repo=repo, revision=revision, endpoint=endpoint)
    except (told.RepositoryNotFoundError, told.HFValidationError):
        _refuse("hub_missing", repo=repo, endpoint=endpoint)
    except told.HfHubHTTPError as error:
        _refuse_status(error.response.status_code, repo, revision, endpoint)
    except Exception as error:  # of the HTTP library, or no answer of a hub
        _refuse("hub_unreachable", endpoint=endpoint, reason=_short(error))
    files = []
    for file in info.siblings:
        if file.size is None:
            _refuse("hub_unreachable", endpoint=endpoint, reason="it tells no sizes of files")
        url = hf_hub_url(repo, file.rfilename, revision=info.sha, endpoint=endpoint)
        sha256 = file.lfs.sha256 if file.lfs else None
        files.append(RemoteFile(file.rfilename, file.size, sha256, url))
    return Listing(info.sha, tuple(files))


def _modelscope(repo: str, revision: str | None, endpoint: str, token: str | None) -> Listing:
    with _modelscope_home():
        try:
            from modelscope_hub import HubApi, HubConfig
            from modelscope_hub import errors as told
        except ImportError:
            _refuse("hub_client_missing")
        config = HubConfig(endpoint=endpoint, token=token or "")
        api = HubApi(config)
        asked = revision or "master"
        try:
            found = api.list_repo_files(repo, "model", revision=asked)
        except told.NotExistError:
            if revision and api.repo_exists(repo, "model"):
                _refuse("hub_revision_missing", repo=repo, revision=revision, endpoint=endpoint)
            _refuse("hub_missing", repo=repo, endpoint=endpoint)
        except told.AuthenticationError:
            _refuse_status(401, repo, revision, endpoint)
        except told.PermissionDeniedError:
            _refuse("hub_gated", repo=repo, url=f"{endpoint}/models/{repo}")
        except told.APIError as error:
            _refuse_status(error.status_code or 0, repo, revision, endpoint)
        except Exception as error:  # of the HTTP library, or no answer of a hub
            _refuse("hub_unreachable", endpoint=endpoint, reason=_short(error))
        files = tuple(
            RemoteFile(
                file.path,
                file.size,
                file.sha256 or None,
                api.legacy.get_download_url(repo, "model", file.path, asked),
            )
            for file in found
            if file.type != "tree"
        )
    return Listing(asked, files)


@contextmanager
def _modelscope_home() -> Iterator[None]:
    """Give ModelScope's library a home that goes away: it keeps an identity there to report."""
    with tempfile.TemporaryDirectory(prefix="tunesmith-modelscope-") as home:
        os.environ |= {"MODELSCOPE_HOME": home, "MODELSCOPE_CACHE": str(Path(home) / "cache")}
        yield


def _refuse_status(status: int, repo: str, revision: str | None, endpoint: str) -> NoReturn:
    if status in (401, 403):
        _refuse("hub_token_refused", repo=repo, endpoint=endpoint)
    if status == 404:
        _refuse("hub_missing", repo=repo, endpoint=endpoint)
    _refuse("hub_unreachable", endpoint=endpoint, reason=f"HTTP status {status}")


def _refuse(code: str, **params: Any) -> NoReturn:
    raise InvalidInput(FieldProblem("baseModel", f"field.{code}", params)) from None


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:LONGEST_REASON]


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    return asdict(list_files(**request))


if __name__ == "__main__":
    answer_one(_answer)
