import pytest

from tunesmith.client.server_sent_events import ServerSentEvent, parse


def told(text: str) -> list[tuple[str, str, str]]:
    return [(event.event, event.data, event.id) for event in parse([text.encode()])]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_of_the_standard_works(end):
    text = end.join(["id: 3", "event: metrics", "data: a", "data: b", "", ""])
    assert told(text) == [("metrics", "a\nb", "3")]


def test_chunks_may_be_cut_anywhere():
    data = ": hello\r\nid: 1\r\ndata: 你好\r\n\r\nid: 2\r\ndata: b\r\n\r\n".encode()
    whole = list(parse([data]))
    assert [event.data for event in whole] == ["你好", "b"]
    assert list(parse([data[at : at + 1] for at in range(len(data))])) == whole


def test_a_line_separator_inside_data_is_data():
    assert told("data: a\u2028b\x0bc\n\n") == [("message", "a\u2028b\x0bc", "")]


def test_an_event_without_data_or_end_is_none_but_its_id_stays():
    assert told("id: 1\n\ndata: a\n\nid: 2\ndata: cut off") == [("message", "a", "1")]


def test_comments_unknown_fields_and_wrong_values_are_ignored():
    text = ": note\nfoo: bar\nretry: soon\nid: a\0b\ndata:a\n\n"
    assert list(parse([text.encode()])) == [ServerSentEvent("message", "a", "", None)]


def test_only_one_leading_space_is_taken_off():
    assert told("data:  a \ndata\ndata:\n\n") == [("message", " a \n\n", "")]


def test_retry_and_id_last_until_they_change():
    events = list(parse([b"retry: 1500\n\nid: 4\ndata: a\n\ndata: b\n\n"]))
    assert [(event.id, event.retry) for event in events] == [("4", 1500), ("4", 1500)]


def test_a_byte_order_mark_is_no_part_of_the_first_field():
    assert told("\ufeffdata: a\n\n") == [("message", "a", "")]
