import json
import math
import resource
import signal

import pytest

from tunesmith import events
from tunesmith.events import EventWriter, Failed, Metrics, Phase, PhaseChanged, read


def metrics(step, loss=1.0):
    return Metrics(
        step=step,
        epoch=0.1,
        loss=loss,
        learning_rate=1e-4,
        grad_norm=1.0,
        tokens_per_second=10,
        eta_seconds=5,
    )


def test_events_come_back_as_they_were_written_with_number_and_time(tmp_path):
    writer = EventWriter(tmp_path / "events.jsonl")
    writer.write(PhaseChanged(phase=Phase.LOADING))
    writer.write(metrics(1))
    (first, second), offset = read(tmp_path / "events.jsonl", 0)
    assert (first.seq, second.seq) == (1, 2) and first.at > 0
    assert first.phase is Phase.LOADING and second.loss == 1.0
    assert offset == (tmp_path / "events.jsonl").stat().st_size


def test_a_reader_stops_at_the_last_newline_and_goes_on_from_there(tmp_path):
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    writer.write(metrics(1))
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(b'{"type": "phase", "phase": "sav')
    first, offset = read(path, 0)
    assert len(first) == 1 and offset == whole
    with path.open("ab") as file:
        file.write(b'ing"}\n')
    second, _ = read(path, offset)
    assert [event.phase for event in second] == [Phase.SAVING]


def test_a_missing_file_holds_no_events(tmp_path):
    assert read(tmp_path / "none", 7) == ([], 7)


def test_a_line_that_is_no_event_hides_no_other(tmp_path, caplog):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'nonsense\n{"type": "future"}\n\xff\n')
    EventWriter(path).write(metrics(4))
    found, _ = read(path, 0)
    assert [event.step for event in found] == [4]
    assert len(caplog.records) == 3


def test_a_nan_and_odd_characters_survive(tmp_path):
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    writer.write(metrics(1, loss=math.nan))
    writer.write(Failed(code="trainer_crashed", params={"reason": "坏\ud800\n"}))
    (first, second), _ = read(path, 0)
    assert math.isnan(first.loss)
    assert second.params["reason"].startswith("坏")
    assert path.read_bytes().count(b"\n") == 2


def test_a_long_history_is_read_in_slices(tmp_path, monkeypatch):
    monkeypatch.setattr(events, "READ_AT_MOST", 1000)
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    for step in range(50):
        writer.write(metrics(step))
    offset, steps = 0, []
    while True:
        found, after = read(path, offset)
        if after == offset:
            break
        assert after - offset <= 1000
        steps += [event.step for event in found]
        offset = after
    assert steps == list(range(50))


def test_a_second_writer_goes_on_where_the_first_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(events, "READ_AT_MOST", 1000)
    path = tmp_path / "events.jsonl"
    EventWriter.append_to(path).write(metrics(0))
    for step in range(1, 20):
        EventWriter.append_to(path).write(metrics(step))
    found = events.read_all(path)
    assert [(event.seq, event.step) for event in found] == [(n + 1, n) for n in range(20)]


def test_bytes_without_a_newline_cannot_stop_the_reader(tmp_path, monkeypatch):
    monkeypatch.setattr(events, "READ_AT_MOST", 100)
    path = tmp_path / "events.jsonl"
    path.write_bytes(
        b"x" * 250 + b"\n" + json.dumps({"type": "phase", "phase": "saving"}).encode() + b"\n"
    )
    offset, found = 0, []
    for _ in range(10):
        more, offset = read(path, offset)
        found += more
    assert [event.phase for event in found] == [Phase.SAVING]


def test_an_event_that_a_full_disk_cut_swallows_no_later_one(tmp_path, caplog):
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    writer.write(metrics(1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 40, limits[1]))
        with pytest.raises(OSError):
            writer.write(metrics(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    writer.write(metrics(3))
    found, _ = read(path, 0)
    assert [event.step for event in found] == [1, 3]
    assert len(caplog.records) == 1
