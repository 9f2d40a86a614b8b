import json
import socket

import httpx
import pytest

from tests.unit.answers import Routes, events, refusal, success, task_answer
from tunesmith import Client
from tunesmith.client import client
from tunesmith.errors import (
    Conflict,
    InvalidInput,
    Misconfigured,
    NotFound,
    NotSignedIn,
    TunesmithError,
    Unreachable,
)
from tunesmith.spec import TaskRequest
from tunesmith.status import Status

URL = "http://127.0.0.1:8000"


@pytest.fixture(autouse=True)
def own_place(monkeypatch, tmp_path):
    for name in ("TUNESMITH_URL", "TUNESMITH_TOKEN", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TUNESMITH_DATA_DIR", str(tmp_path))
    monkeypatch.setattr("tunesmith.client.connection.RETRY_DELAYS", (0.001, 0.002))


def connect(routes: Routes, **options) -> Client:
    return Client(URL, "secret-token", transport=routes, **options)


def drop(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


# Which server


def test_the_running_server_and_its_token_are_found_in_the_data_directory(tmp_path):
    (tmp_path / "server.json").write_text(json.dumps({"url": "http://127.0.0.1:4444", "pid": 1}))
    (tmp_path / "token").write_text("kept-token\n")
    routes = Routes(getTask=lambda request: success(task_answer()))
    with Client(transport=routes) as found:
        found.task(1)
    assert routes.requests[0].url.port == 4444
    assert routes.requests[0].headers["authorization"] == "Bearer kept-token"


def test_the_environment_wins_over_the_data_directory(monkeypatch, tmp_path):
    (tmp_path / "server.json").write_text(json.dumps({"url": "http://127.0.0.1:4444", "pid": 1}))
    monkeypatch.setenv("TUNESMITH_URL", "gpu.example:9000")
    monkeypatch.setenv("TUNESMITH_TOKEN", "token-of-mine")
    routes = Routes(getTask=lambda request: success(task_answer()))
    Client(transport=routes).task(1)
    assert str(routes.requests[0].url.copy_with(path="/", query=None)) == "http://gpu.example:9000/"
    assert routes.requests[0].headers["authorization"] == "Bearer token-of-mine"


def test_the_kept_token_goes_to_this_machine_only(tmp_path):
    (tmp_path / "token").write_text("kept-token\n")
    routes = Routes(getTask=lambda request: success(task_answer()))
    Client("http://elsewhere.example", transport=routes).task(1)
    Client("http://localhost:1", transport=routes).task(1)
    assert "authorization" not in routes.requests[0].headers
    assert routes.requests[1].headers["authorization"] == "Bearer kept-token"


@pytest.mark.parametrize("left", [None, "", "{", "[]", '{"pid": 1}'])
def test_without_a_server_the_error_names_the_data_directory(tmp_path, left):
    if left is not None:
        (tmp_path / "server.json").write_text(left)
    with pytest.raises(Unreachable) as refused:
        Client()
    assert refused.value.code == "no_server"
    assert str(tmp_path) in str(refused.value)


def test_a_server_that_does_not_listen_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable) as refused:
        Client(f"http://127.0.0.1:{port}", "t").health()
    assert f":{port}" in str(refused.value)


@pytest.mark.parametrize("url", ["http://[", "http://", "ftp://127.0.0.1", "http://a b"])
def test_a_url_that_is_none_is_unreachable(url):
    with pytest.raises(Unreachable):
        Client(url, "t").health()


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        local = Client(f"http://127.0.0.1:{server.getsockname()[1]}", "t", timeout=0.05)
        with pytest.raises(Unreachable):  # it connects, and nobody answers
            local.health()
        server.accept()[0].close()


def test_a_token_that_no_header_can_hold_is_refused():
    with pytest.raises(Misconfigured):
        Client(URL, "令牌令牌令牌令牌")


@pytest.mark.parametrize(
    ("locale", "language"), [("zh_CN.UTF-8", "zh"), ("de_DE.UTF-8", "en"), ("C", "en")]
)
def test_the_server_is_asked_to_speak_the_users_language(monkeypatch, locale, language):
    monkeypatch.setenv("LANG", locale)
    routes = Routes(getTask=lambda request: success(task_answer()))
    connect(routes).task(1)
    assert routes.requests[0].headers["accept-language"] == language


# Tasks


def test_a_task_is_created_under_wire_names_with_what_was_given_only():
    routes = Routes(createTask=lambda request: success(task_answer(5)))
    with connect(routes) as connected:
        task = connected.create_task(
            "n", "smol", "/data", training_args={"lora_r": 8}, gpu_config={}, output_path="/o"
        )
        connected.create_task_from(
            TaskRequest(name="n", base_model="m", dataset_path="/d", training_args={"lora_r": 4})
        )
    assert task.id == 5 and task.status is Status.RUNNING and task.metrics == {"loss": 1.25}
    first, second = (json.loads(request.content) for request in routes.requests)
    assert first == {
        "name": "n",
        "baseModel": "smol",
        "datasetPath": "/data",
        "outputPath": "/o",
        "trainingArgs": {"lora_r": 8},
        "gpuConfig": {},
    }
    # Defaults are not sent: the server tells what was given from what was not.
    assert second["trainingArgs"] == {"lora_r": 4} and "gpuConfig" not in second


def test_refused_fields_keep_the_servers_sentences():
    problems = [{"field": "trainingArgs.lora_r", "message": "必须至少为 1", "type": "x"}]
    routes = Routes(createTask=lambda request: refusal(422, "bad", {"errors": problems}))
    with pytest.raises(InvalidInput) as refused:
        connect(routes).create_task("n", "m", "/d")
    assert str(refused.value) == "trainingArgs.lora_r: 必须至少为 1"


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFound), (409, Conflict), (500, TunesmithError)]
)
def test_http_statuses_become_the_packages_errors(status, kind):
    routes = Routes(stopTask=lambda request: refusal(status, "said by the server"))
    with pytest.raises(kind) as refused:
        connect(routes).stop_task(1)
    assert type(refused.value) is kind and str(refused.value) == "said by the server"


def test_a_wrong_token_is_told_apart():
    with pytest.raises(NotSignedIn):
        connect(Routes(getTask=lambda request: refusal(401, "no"))).task(1)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>a captive portal</html>"),
        httpx.Response(200, json=["not", "ours"]),
        success({"ID": "a task of another program"}),
    ],
)
def test_what_is_no_answer_of_ours_is_said_so(answer):
    with pytest.raises(TunesmithError) as refused:
        connect(Routes(getTask=lambda request: answer)).task(1)
    assert refused.value.code == "answer_unreadable"


def test_filters_are_sent_under_wire_names_and_only_when_given():
    page = {"list": [task_answer(2)], "total": 1, "page": 2, "pageSize": 5}
    routes = Routes(getTaskList=lambda request: success(page))
    answer = connect(routes).tasks(2, 5, status=Status.FAILED, order_key="name", desc=True)
    assert [task.id for task in answer.items] == [2] and answer.page_size == 5
    assert routes.queries() == [
        {"page": "2", "pageSize": "5", "status": "failed", "orderKey": "name", "desc": "true"}
    ]


def test_iter_tasks_reads_all_pages_and_yields_no_task_twice(monkeypatch):
    monkeypatch.setattr(client, "PAGE_SIZE", 2)
    pages = {"1": [5, 4], "2": [4, 3], "3": [2]}  # a task was created after page 1

    def page(request):
        number = request.url.params["page"]
        listed = [task_answer(task_id) for task_id in pages[number]]
        return success({"list": listed, "total": 5, "page": int(number), "pageSize": 2})

    assert [task.id for task in connect(Routes(getTaskList=page)).iter_tasks()] == [5, 4, 3, 2]


def test_wait_returns_the_ended_task_and_bridges_a_restart():
    routes = Routes(
        getTask=[
            lambda request: success(task_answer()),
            drop,
            lambda request: success(task_answer(status="completed")),
        ]
    )
    assert connect(routes).wait(1, poll=0.001).status is Status.COMPLETED
    assert len(routes.requests) == 3


def test_wait_gives_up_in_time():
    routes = Routes(getTask=lambda request: success(task_answer()))
    with pytest.raises(TimeoutError):
        connect(routes).wait(1, poll=0.001, timeout=0.01)


# Streams


def test_a_dropped_stream_goes_on_after_the_last_event():
    def cut(request):
        def body():
            yield b'id: 8\nevent: metrics\ndata: {"loss": 1}\n\nid: 9\nevent: met'
            raise httpx.ReadError("connection reset", request=request)

        return httpx.Response(200, content=body())

    routes = Routes(
        streamTask=[
            cut,
            drop,
            lambda request: httpx.Response(503),
            lambda request: events(
                (9, "metrics", {"loss": 0.5}),
                (10, "status", {"status": "completed"}),
                (None, "progress", {"step": 10}),
            ),
            lambda request: httpx.Response(204),
        ]
    )
    told = list(connect(routes).stream(1, last_event_id=7))
    assert [(event.id, event.event) for event in told] == [
        (8, "metrics"),
        (9, "metrics"),
        (10, "status"),
        (10, "progress"),
    ]
    assert told[1].data == {"loss": 0.5}
    sent = [request.headers["last-event-id"] for request in routes.requests]
    assert sent == ["7", "8", "8", "8", "10"]


def test_an_event_without_an_id_carries_the_last_one_after_a_reconnect_too():
    routes = Routes(
        streamTask=[
            lambda request: events((41, "metrics", {"loss": 1})),
            lambda request: events((None, "progress", {"step": 10})),
            lambda request: httpx.Response(204),
        ]
    )
    assert [event.id for event in connect(routes).stream(1)] == [41, 41]


def test_a_stream_gives_up_when_no_server_comes_back():
    routes = Routes(streamTask=drop)
    with pytest.raises(Unreachable):
        list(connect(routes, patience=0.05).stream(1))
    assert len(routes.requests) > 2


def test_a_stream_finds_the_server_that_was_restarted_on_another_port(tmp_path):
    left = tmp_path / "server.json"
    left.write_text(json.dumps({"url": "http://127.0.0.1:1111"}))

    def restart(request):
        left.write_text(json.dumps({"url": "http://127.0.0.1:2222"}))
        return drop(request)

    routes = Routes(streamTask=[restart, lambda request: httpx.Response(204)])
    assert list(Client(token="t", transport=routes).stream(1)) == []
    assert [request.url.port for request in routes.requests] == [1111, 2222]


def test_a_task_deleted_meanwhile_ends_the_stream_with_not_found():
    routes = Routes(
        streamTask=[
            lambda request: events((1, "status", {"status": "running"})),
            lambda request: refusal(404, "There is no task 1"),
        ]
    )
    with pytest.raises(NotFound):
        list(connect(routes).stream(1))


def test_a_log_is_streamed_from_a_byte_on():
    routes = Routes(
        streamTaskLog=[
            lambda request: events((12, "log", {"text": "第一行\n", "offset": 12})),
            lambda request: httpx.Response(204),
        ]
    )
    assert list(connect(routes).stream_log(1, offset=2)) == ["第一行\n"]
    assert [request.headers["last-event-id"] for request in routes.requests] == ["2", "12"]


def log_of(data: bytes):
    """Answer ranges from the end of a log, as a file server does."""

    def answer(request):
        size = int(request.headers["range"].removeprefix("bytes=-"))
        if not data:
            return httpx.Response(416, headers={"content-range": "bytes */0"})
        start = max(0, len(data) - size)
        content_range = f"bytes {start}-{len(data) - 1}/{len(data)}"
        return httpx.Response(206, content=data[start:], headers={"content-range": content_range})

    return answer


def test_the_end_of_a_log_and_where_it_goes_on():
    data = "一\n二\n三\nhalf a li".encode()
    connected = connect(Routes(downloadTaskLog=log_of(data)))
    assert connected.log_end(1, 2) == ("二\n三\n", data.index(b"half"))
    assert connected.log_end(1, 100)[0] == "一\n二\n三\n"


def test_the_end_of_a_long_log_begins_with_a_whole_line(monkeypatch):
    monkeypatch.setattr(client, "LOG_END", (10, 10))
    data = b"0123456789\nabc\ndef\n"
    assert connect(Routes(downloadTaskLog=log_of(data))).log_end(1) == ("abc\ndef\n", len(data))


@pytest.mark.parametrize("answer", [log_of(b""), lambda request: httpx.Response(200)])
def test_the_end_of_no_log_is_empty(answer):
    assert connect(Routes(downloadTaskLog=answer)).log_end(1) == ("", 0)


def test_a_downloaded_log_appears_whole_or_not_at_all(tmp_path):
    def cut(request):
        def body():
            yield b"half"
            raise httpx.ReadError("connection reset", request=request)

        return httpx.Response(200, content=body())

    to = tmp_path / "train.log"
    routes = Routes(downloadTaskLog=[cut, lambda request: httpx.Response(200, text="whole\n")])
    connected = connect(routes)
    with pytest.raises(Unreachable):
        connected.download_log(1, to)
    assert list(tmp_path.iterdir()) == []
    assert connected.download_log(1, to).read_text() == "whole\n"


# Check of a data set


def test_a_check_sends_what_was_given_and_reads_the_report(tmp_path):
    from tunesmith.check.report import Verdict
    from tunesmith.check.run import Request, check

    path = tmp_path / "train.jsonl"
    path.write_text('{"instruction": "Who?", "output": "Me."}\n')
    (tmp_path / "workspace").mkdir()
    report = check(Request(path), tmp_path / "workspace").report
    told = report.model_dump(mode="json", by_alias=True)
    routes = Routes(checkDataset=lambda request: success(told))
    arguments = {"max_seq_length": 64}
    answer = connect(routes).check_dataset("/data/qa", training_args=arguments, seconds=5)
    assert answer == report and answer.verdict is Verdict.WARNINGS
    assert json.loads(routes.requests[0].content) == {
        "datasetPath": "/data/qa",
        "trainingArgs": arguments,
        "seconds": 5,
    }
