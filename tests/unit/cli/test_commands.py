import json

import httpx
import pytest

from tests.unit.answers import Routes, events, refusal, success, task_answer

ENDED = [lambda request: httpx.Response(204)]
FAILED = task_answer(
    status="failed",
    error={
        "code": "out_of_memory",
        "message": "Memory ran out",
        "hint": "Halve the batch",
        "logLines": ["Traceback \x1b[2J", "MemoryError"],
        "suggestedChange": {"per_device_train_batch_size": 2},
    },
)


def page(*tasks, total=None):
    listed = {"list": tasks, "total": total or len(tasks), "page": 1, "pageSize": 20}
    return Routes(getTaskList=lambda request: success(listed))


# list


def test_list_in_a_pipe_is_plain_with_whole_values_between_tabs(run):
    done = run("list", routes=page(task_answer(123456, name="a\nb\x1b[31m")))
    assert done.exit_code == 0
    head, row = done.stdout.splitlines()
    assert head.split("\t")[:4] == ["ID", "Name", "Status", "Progress"]
    assert row.split("\t")[:6] == [
        "123456",
        "a b [31m",
        "running",
        "40.0 %",
        "1.25",
        "/models/a very long directory name/smol",
    ]
    assert row.split("\t")[7:] == ["1:05", "1:30"]


def test_list_passes_every_filter_on(run):
    routes = page()
    flags = ["--status", "failed", "--name", "n", "--keyword", "k", "--base-model", "b"]
    order = ["--page", "3", "--page-size", "7", "--order-key", "name", "--asc"]
    done = run("list", *flags, *order, routes=routes)
    assert done.exit_code == 0 and "There are no such tasks" in done.stderr
    assert routes.queries() == [
        {
            "status": "failed",
            "name": "n",
            "keyword": "k",
            "baseModel": "b",
            "page": "3",
            "pageSize": "7",
            "orderKey": "name",
            "desc": "false",
        }
    ]


def test_list_as_json_has_the_wires_names(run):
    done = run("list", "--json", routes=page(task_answer(name="人设")))
    listed = json.loads(done.stdout)
    assert listed["pageSize"] == 20 and listed["list"][0]["ID"] == 1
    assert listed["list"][0]["name"] == "人设" and "人设" in done.stdout


# show


def test_show_tells_everything_about_a_failed_task(run):
    done = run("show", "1", routes=Routes(getTask=lambda request: success(FAILED)))
    assert done.exit_code == 0
    assert "learning_rate=0.0002 lora_r=16" in done.stdout
    assert "Halve the batch" in done.stderr
    assert "  | Traceback  [2J" in done.stderr  # what moves a cursor is taken out
    assert "--set per_device_train_batch_size=2" in done.stderr


def test_show_as_json_is_the_task_as_the_wire_has_it(run):
    done = run("show", "1", "--json", routes=Routes(getTask=lambda request: success(FAILED)))
    assert json.loads(done.stdout) == FAILED


def test_show_follow_tells_how_far_the_download_is(run):
    def snapshot(downloaded, speed=4.5e7):
        fetched = {"downloadedBytes": downloaded, "totalBytes": 10_000_000_000}
        fetched |= {"bytesPerSecond": speed, "etaSeconds": 60.0}
        now = {"status": "running", "phase": "downloading", "step": 0, "totalSteps": None}
        now |= {"elapsedSeconds": 3.0, "etaSeconds": None, "queueReason": None}
        return (None, "progress", now | {"download": fetched})

    told = events(
        snapshot(1_000_000_000),
        snapshot(1_100_000_000),
        snapshot(5_200_000_000),
        (9, "status", {"status": "stopped"}),
    )
    ended = task_answer(status="stopped")
    routes = Routes(
        getTask=[lambda request: success(task_answer()), lambda request: success(ended)],
        streamTask=[lambda request: told, *ENDED],
    )
    assert run("show", "1", "--follow", routes=routes).stdout.splitlines() == [
        "downloading",
        " 10 %  1.00/10.00 GB, 45.0 MB/s",
        " 50 %  5.20/10.00 GB, 45.0 MB/s",
    ]


@pytest.mark.parametrize(
    ("ended", "code", "word"),
    [
        (task_answer(status="completed"), 0, "completed: task 1, output in /data/outputs/1"),
        (FAILED, 1, "Memory ran out"),
        (task_answer(status="stopped"), 3, "stopped: task 1"),
    ],
)
def test_show_follow_tells_what_happens_and_exits_by_the_end(run, ended, code, word):
    progress = {
        "status": "running",
        "phase": "training",
        "step": 5,
        "totalSteps": 10,
        "elapsedSeconds": 3.0,
        "etaSeconds": 3.0,
        "queueReason": None,
    }
    plan = {"samples": 40, "evalSamples": 4, "totalSteps": 10, "device": "cpu"}
    told = events(
        (8, "plan", plan),
        (9, "warning", {"code": "few_samples", "message": "40 samples are few", "params": {}}),
        (None, "progress", progress),
        (10, "metrics", {"step": 5, "loss": 1.5, "learning_rate": 1e-4}),
        (11, "evaluation", {"step": 5, "eval_loss": 1.75, "token_accuracy": 0.5}),
        (12, "checkpoint", {"step": 5, "path": "/data/outputs/1/checkpoint-5"}),
        (13, "status", {"status": ended["status"]}),
    )
    routes = Routes(
        getTask=[lambda request: success(task_answer()), lambda request: success(ended)],
        streamTask=[lambda request: told, *ENDED],
    )
    done = run("show", "1", "--follow", routes=routes)
    assert done.exit_code == code
    assert word in done.stderr
    assert done.stdout.splitlines() == [
        "10 steps over 40 samples (4 for validation) on cpu",
        "⚠ 40 samples are few",
        "training",
        " 50 %  step 5/10: loss 1.5, 0:03 elapsed, 0:03 left",
        "step 5: eval_loss 1.75, token accuracy 50.0 %",
        "step 5: checkpoint saved in /data/outputs/1/checkpoint-5",
    ]
    # It goes on where the answer of getTask was.
    assert routes.requests[1].headers["last-event-id"] == "7"


def test_ctrl_c_ends_the_showing_and_says_how_to_stop_the_task(run):
    def interrupt(request):
        raise KeyboardInterrupt

    routes = Routes(getTask=lambda request: success(task_answer()), streamTask=interrupt)
    done = run("show", "1", "--follow", routes=routes)
    assert done.exit_code == 130
    assert "tunesmith stop 1" in done.stderr


# logs


def test_logs_prints_the_text_as_it_is(run):
    routes = Routes(getTaskLog=lambda request: success("一\ntwo"))
    done = run("logs", "1", "-n", "2", "--offset", "3", routes=routes)
    assert done.stdout == "一\ntwo\n"
    assert routes.queries() == [{"id": "1", "lines": "2", "offset": "3"}]
    assert json.loads(run("logs", "1", "--json", routes=routes).stdout) == "一\ntwo"


def test_logs_follow_prints_the_end_and_what_comes(run):
    routes = Routes(
        downloadTaskLog=lambda request: httpx.Response(200, text="one\ntwo\nth"),
        streamTaskLog=[
            lambda request: events((14, "log", {"text": "three\n", "offset": 14})),
            *ENDED,
        ],
    )
    done = run("logs", "1", "-f", "-n", "1", routes=routes)
    assert done.exit_code == 0 and done.stdout == "two\nthree\n"
    assert routes.requests[1].headers["last-event-id"] == "8"


def test_logs_follow_refuses_what_does_not_go_together(run):
    assert run("logs", "1", "-f", "--json", routes=Routes()).exit_code == 2


# metrics, devices


def test_metrics_are_one_table_by_step(run):
    point = {"attempt": 1, "at": 1.0, "epoch": 0.5}
    series = {
        "training": [point | {"step": 5, "loss": 2.0}, point | {"step": 20, "loss": 1.0}],
        "evaluation": [point | {"step": 10, "eval_loss": 1.5, "token_accuracy": 0.25}],
        "total": 2,
        "lastEventId": 9,
    }
    routes = Routes(getTaskMetrics=lambda request: success(series))
    done = run("metrics", "1", "--max-points", "50", routes=routes)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert rows[0] == [
        "step",
        "epoch",
        "loss",
        "learning_rate",
        "grad_norm",
        "tokens_per_second",
        "eval_loss",
        "token_accuracy",
    ]
    assert [row[0] for row in rows[1:]] == ["5", "10", "20"]
    assert rows[2][6:] == ["1.5", "0.25"] and rows[3][2] == "1"
    assert routes.queries() == [{"id": "1", "maxPoints": "50"}]
    assert json.loads(run("metrics", "1", "--json", routes=routes).stdout)["lastEventId"] == 9


def test_devices_shows_the_gpus_and_marks_simulated_ones(run):
    device = {
        "index": 0,
        "name": "Simulated GPU",
        "memoryTotalBytes": 24 * 2**30,
        "memoryUsedBytes": 0,
        "utilizationPercent": 0.0,
        "temperatureCelsius": None,
        "simulated": True,
        "taskId": 3,
    }
    routes = Routes(getDeviceList=lambda request: success([device]))
    assert run("devices", routes=routes).stdout.splitlines()[1].split("\t") == [
        "0",
        "Simulated GPU (simulated)",
        "24.0 GiB",
        "0.0 GiB",
        "0.0 %",
        "",
        "3",
    ]
    assert json.loads(run("devices", "--json", routes=routes).stdout) == [device]
    none = Routes(getDeviceList=lambda request: success([]))
    assert "no GPU" in run("devices", routes=none).stderr


# stop, delete


def test_stop_asks_for_each_task(run):
    routes = Routes(stopTask=lambda request: success(task_answer(int(request.url.params["id"]))))
    done = run("stop", "1", "2", routes=routes)
    assert done.exit_code == 0 and [query["id"] for query in routes.queries()] == ["1", "2"]
    assert "Task 2 is asked to stop" in done.stdout
    assert json.loads(run("stop", "1", "--json", routes=routes).stdout)["ID"] == 1


@pytest.mark.parametrize(("status", "code"), [("stopped", 3), ("completed", 0), ("failed", 1)])
def test_stop_wait_exits_by_how_the_task_ended(run, status, code):
    routes = Routes(
        stopTask=lambda request: success(task_answer()),
        getTask=lambda request: success(task_answer(status=status)),
    )
    assert run("stop", "1", "--wait", routes=routes).exit_code == code


def deletion():
    return Routes(
        getTask=lambda request: success(task_answer()),
        deleteTask=lambda request: success(None),
    )


def test_delete_says_what_is_lost_and_what_stays_and_asks(run):
    routes = deletion()
    done = run("delete", "1", routes=routes, input="n\n")
    assert done.exit_code == 1 and len(routes.requests) == 1
    assert "stays: the output in /data/outputs/1" in done.stdout
    assert "with log, metrics and run directory for good?" in done.stdout


def test_delete_deletes_when_told_yes(run):
    for arguments, answer in ((("-y",), None), ((), "y\n")):
        routes = deletion()
        done = run("delete", "1", "1", *arguments, routes=routes, input=answer)
        assert done.exit_code == 0
        assert [request.method for request in routes.requests] == ["GET", "DELETE"]


# Errors become exit codes


@pytest.mark.parametrize(
    ("status", "code"), [(401, 77), (404, 4), (409, 5), (400, 2), (422, 2), (500, 70), (503, 69)]
)
def test_refusals_have_exit_codes_and_the_servers_sentence(run, status, code):
    routes = Routes(stopTask=lambda request: refusal(status, "said by the server"))
    done = run("stop", "1", routes=routes)
    assert done.exit_code == code and done.stdout == ""
    if status not in (401, 503):
        assert "said by the server" in done.stderr


def test_without_a_server_it_says_how_to_start_one(run, tmp_path):
    done = run("list")
    assert done.exit_code == 69
    assert str(tmp_path / "data") in done.stderr and "tunesmith serve" in done.stderr


def test_the_users_language_is_spoken(run, monkeypatch):
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert "没有服务器在运行" in run("list").stderr


def test_a_wrong_setting_is_told_apart(run, monkeypatch):
    monkeypatch.setenv("TUNESMITH_PROT", "8000")
    done = run("list")
    assert done.exit_code == 78 and "TUNESMITH_PORT" in done.stderr


def test_an_error_of_our_own_keeps_its_traceback(run):
    routes = Routes(getTask=lambda request: 1 / 0)
    assert isinstance(run("show", "1", routes=routes).exception, ZeroDivisionError)


def test_wrong_usage_names_the_nearest_command(run):
    done = run("lst")
    assert done.exit_code == 2 and "'list'" in done.output


def test_help_explains_the_exit_codes(run):
    done = run("--help")
    assert done.exit_code == 0
    assert "69 no server answers" in done.stdout and "TUNESMITH_URL" in done.stdout
