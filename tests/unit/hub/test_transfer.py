import pytest

from tests.unit.hub.conftest import FILES
from tunesmith.errors import RunFailure
from tunesmith.hub.listing import list_files
from tunesmith.hub.transfer import fetch

WEIGHTS = "model.safetensors"
SIZE = len(FILES[WEIGHTS])
AT_ONCE = (0.0, 0.0)


@pytest.fixture
def get(hub, published, tmp_path):
    """Fetch a repository that behaves as given; return what was told."""
    directory = tmp_path / "下载 draft"
    directory.mkdir()

    def run(pauses=AT_ONCE, **behaviour):
        hub.add("o/n", published, **behaviour)
        listing = list_files("huggingface", "o/n", None, hub.url, None)
        told = []
        fetch(listing.files, directory, {}, "o/n", lambda *numbers: told.append(numbers), pauses)
        return told

    run.directory = directory
    return run


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_whole_files_come_and_their_bytes_are_told(get):
    told = get()
    assert contents(get.directory) == FILES
    assert told[-1][:2] == (SIZE + 4, SIZE + 4)


def test_a_connection_that_breaks_is_taken_up_where_it_was(get, hub):
    get(break_after={WEIGHTS: 70_000})
    assert contents(get.directory) == FILES
    ranges = [asked.range for asked in hub.of("/cdn/") if asked.method == "GET"]
    assert len(ranges) == 5 and ranges[0] is None
    assert hub.sent < SIZE + 100_000  # not from the beginning each time


def test_a_connection_that_never_brings_anything_fails_and_keeps_what_came(get, hub):
    (get.directory / f"{WEIGHTS}.part").write_bytes(b"x" * 1000)
    with pytest.raises(RunFailure) as failed:
        get(break_after={WEIGHTS: 0})
    assert failed.value.code == "download_failed"
    assert failed.value.params["reason"]["code"] == "hub.connection"
    assert len([a for a in hub.of("/cdn/") if a.range == "bytes=1000-"]) == 3
    assert (get.directory / f"{WEIGHTS}.part").stat().st_size == 1000


def test_content_that_is_not_what_the_hub_tells_is_fetched_once_more_then_refused(get, hub):
    with pytest.raises(RunFailure) as failed:
        get(served={WEIGHTS: b"y" * SIZE})
    assert failed.value.params["reason"]["code"] == "hub.hash_differs"
    assert f"{WEIGHTS}: its SHA-256" in str(failed.value)
    assert len([a for a in hub.of("/cdn/") if a.method == "GET"]) == 2
    assert f"{WEIGHTS}.part" not in contents(get.directory)


def test_a_damaged_part_is_replaced(get):
    (get.directory / f"{WEIGHTS}.part").write_bytes(b"z" * 1000)
    get()
    assert contents(get.directory) == FILES


@pytest.mark.parametrize("size", [SIZE - 5, SIZE + 5])
def test_another_size_than_told_is_refused(get, size):
    with pytest.raises(RunFailure) as failed:
        get(served={WEIGHTS: b"x" * size})
    assert failed.value.params["reason"]["code"] in ("hub.size_differs", "hub.status")


def test_what_is_whole_is_not_asked_for_again(get, hub):
    (get.directory / WEIGHTS).write_bytes(FILES[WEIGHTS])
    get()
    assert hub.of("/cdn/") == []
