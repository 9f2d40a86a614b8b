import json
import shutil
import socket
from collections import namedtuple

import pytest

from tunesmith.errors import InvalidInput
from tunesmith.hub.find import find_base_model
from tunesmith.hub.marker import MARKER
from tunesmith.hub.space import SPARE, draft_of

COMMIT = "a" * 40


def refused(value, settings):
    with pytest.raises(InvalidInput) as error:
        find_base_model(value, settings)
    (problem,) = error.value.problems
    assert problem.field == "baseModel"
    assert "{" not in str(error.value), "a placeholder was left"
    return problem


def test_a_model_of_the_hub_is_pinned_to_its_commit(hub, published, make_settings):
    hub.add("o/n", published)
    settings = make_settings()
    found = find_base_model("o/n", settings)
    assert found.path == str(settings.models_dir / "o" / "n")
    assert (found.hub.repo, found.hub.revision, found.hub.endpoint) == ("o/n", COMMIT, hub.url)
    pinned = find_base_model("o/n@main", settings)
    assert pinned.path.endswith(f"/o/n@{COMMIT[:12]}") and pinned.hub.revision == COMMIT


def test_what_is_on_the_disk_is_used_and_nobody_is_asked(hub, make_settings):
    settings = make_settings(offline=True)
    directory = settings.models_dir / "o" / "n"
    directory.mkdir(parents=True)
    assert find_base_model("o/n", settings).path == str(directory)
    (directory / MARKER).write_text(json.dumps({"revision": COMMIT}))
    for revision in (COMMIT, COMMIT[:8]):
        found = find_base_model(f"o/n@{revision}", settings)
        assert (found.path, found.hub) == (str(directory), None)
    assert refused("o/n@main", settings).code == "field.hub_offline"
    assert find_base_model("/else/where", settings).path == "/else/where"
    assert hub.asked == []


def test_a_branch_that_is_on_the_disk_already_is_not_downloaded_again(
    hub, published, make_settings
):
    hub.add("o/n", published)
    settings = make_settings()
    directory = settings.models_dir / "o" / "n"
    directory.mkdir(parents=True)
    (directory / MARKER).write_text(json.dumps({"revision": COMMIT}))
    found = find_base_model("o/n@main", settings)
    assert (found.path, found.hub) == (str(directory), None)


def test_a_name_of_the_catalogue_is_a_hub_id(hub, published, make_settings):
    hub.add("Qwen/Qwen2-7B", published)
    assert find_base_model("Qwen2-7B", make_settings()).hub.repo == "Qwen/Qwen2-7B"


def test_what_keeps_a_model_from_being_downloaded_is_told_at_once(hub, published, make_settings):
    settings = make_settings()
    assert refused("no-such-name", settings).code == "field.base_model_unknown_name"
    assert refused("o/none", settings).code == "field.hub_missing"
    repo = hub.add("o/n", published, gated=True)
    assert refused("o/n", settings).params["url"] == f"{hub.url}/o/n"
    assert find_base_model("o/n", make_settings(hub_token=hub.token)).hub is not None
    repo.gated = False
    assert refused("o/n@no-branch", settings).code == "field.hub_revision_missing"
    del repo.files["model.safetensors"]
    assert refused("o/n", settings).code == "field.hub_no_weights"


def test_a_hub_that_does_not_answer_is_named(make_settings):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        problem = refused("o/n", make_settings(hub_endpoint=endpoint))
    assert problem.code == "field.hub_unreachable" and problem.params["endpoint"] == endpoint


def test_modelscope_is_asked_in_its_own_way(hub, published, make_settings):
    pytest.importorskip("modelscope_hub", reason="the extra `modelscope` is not installed")
    hub.add("o/n", published)
    settings = make_settings(hub="modelscope")
    found = find_base_model("o/n", settings)
    assert (found.hub.source, found.hub.revision) == ("modelscope", "master")
    assert refused("o/none", settings).code == "field.hub_missing"
    assert refused("o/n@v9", settings).code == "field.hub_revision_missing"


def test_a_token_that_the_hub_does_not_know_is_told(hub, published, make_settings):
    hub.add("o/n", published, token_refused=True)
    assert refused("o/n", make_settings(hub_token="wrong")).code == "field.hub_token_refused"


def test_a_disk_that_is_too_small_is_told_before_there_is_a_task(
    hub, published, make_settings, monkeypatch
):
    hub.add("o/n", published)
    settings = make_settings()
    usage = namedtuple("usage", "total used free")
    needed = sum(path.stat().st_size for path in published.iterdir()) + SPARE
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, needed - 1))
    problem = refused("o/n", settings)
    assert problem.code == "field.download_no_space" and problem.params["repo"] == "o/n"
    left = draft_of(settings.models_dir / "o" / "n")
    left.mkdir(parents=True)
    (left / "config.json").write_bytes(b"{}")  # of an earlier attempt
    assert find_base_model("o/n", settings).hub is not None


@pytest.mark.parametrize(
    ("signed_in", "code"), [(True, "field.hub_gated"), (False, "field.hub_token_refused")]
)
def test_modelscope_s_refusals_are_told_apart(signed_in, code, hub, published, make_settings):
    pytest.importorskip("modelscope_hub", reason="the extra `modelscope` is not installed")
    hub.add("o/n", published, gated=True)
    token = {"hub_token": "of somebody who did not accept"} if signed_in else {}
    problem = refused("o/n", make_settings(hub="modelscope", **token))
    assert problem.code == code
    allowed = make_settings(hub="modelscope", hub_token=hub.token)
    assert find_base_model("o/n", allowed).hub.repo == "o/n"
