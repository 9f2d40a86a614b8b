"""Tasks from creation to their end, over a real server, real supervisors and real trainers."""

import json
import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.integration.server import Server, until
from tests.tiny_models import make_tiny_model
from tunesmith.errors import Conflict, InvalidInput, NotFound
from tunesmith.status import TERMINAL, Status

pytestmark = pytest.mark.processes

FAST = {"max_steps": 6, "logging_steps": 1, "per_device_train_batch_size": 2, "max_seq_length": 64}
# Long enough that nothing ends by itself while a test looks at it.
LONG = FAST | {
    "max_steps": -1,
    "num_train_epochs": 10_000,
    "save_steps": 10**6,
    "eval_steps": 10**6,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("人 家")


@pytest.fixture(scope="module")
def base_model(root):
    return make_tiny_model(root / "基础 模型")


@pytest.fixture(scope="module")
def data(root):
    return write_data(root / "数据 集")


def write_data(path: Path, rows: int = 12, bad_line: str | None = None) -> Path:
    path.mkdir(parents=True)
    lines = [
        json.dumps({"instruction": f"Question {n}?", "input": "", "output": f"Answer {n}."})
        for n in range(rows)
    ]
    if bad_line is not None:
        lines.append(bad_line)
    (path / "train.jsonl").write_text("\n".join(lines) + "\n")
    (path / "valid.jsonl").write_text(lines[0] + "\n")
    return path


@pytest.fixture(scope="module")
def server(root):
    server = Server(root, TUNESMITH_STOP_GRACE_SECONDS="20").start()
    yield server
    server.close()
    assert server.trainers() == []


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client
        for task in client.iter_tasks():
            client.delete_task(task.id)


def submit(client, base_model, data, **arguments):
    return client.create_task(
        "任务 one", str(base_model), str(data), training_args=FAST | arguments
    )


def reaches_step(client, task_id, step=1):
    def there():
        task = client.task(task_id)
        assert task.status not in TERMINAL, (task.status, task.error, client.log(task_id))
        return task if task.step >= step else None

    return until(there, f"task {task_id} reaches step {step}")


def ends(client, task_id):
    return until(
        lambda: (task := client.task(task_id)).status in TERMINAL and task, f"task {task_id} ends"
    )


def gone(pid):
    return not psutil.pid_exists(pid)


def test_a_task_goes_from_creation_to_an_adapter(client, server, base_model, data):
    task = submit(client, base_model, data)
    assert task.status in (Status.PENDING, Status.RUNNING)
    task = ends(client, task.id)
    assert task.status is Status.COMPLETED, (task.error, client.log(task.id))
    assert task.progress == 100 and task.step == task.total_steps == 6
    assert task.pid and gone(task.pid) and task.started_at <= task.finished_at
    assert task.metrics.keys() >= {"loss", "learning_rate", "grad_norm", "eval_loss"}
    output = Path(task.output_path)
    assert output == server.data_dir / "outputs" / str(task.id)
    assert (output / "adapter_model.safetensors").is_file()
    assert "python -m tunesmith.trainer" in task.command or "tunesmith.trainer" in task.command
    assert Path(task.log_path).read_text() == client.log(task.id, lines=10_000)
    series = client.metrics(task.id)
    assert [point.step for point in series.training] == [1, 2, 3, 4, 5, 6]
    assert series.evaluation[-1].step == 6


def test_the_stream_tells_the_whole_story_without_gap_or_repeat(client, base_model, data):
    task = submit(client, base_model, data)
    events = list(client.stream(task.id))
    ids = [int(event.id) for event in events if event.event != "progress"]
    assert ids == sorted(set(ids))
    steps = [event.data["step"] for event in events if event.event == "metrics"]
    assert steps == [1, 2, 3, 4, 5, 6]
    statuses = [event.data["status"] for event in events if event.event == "status"]
    assert statuses == ["pending", "running", "completed"]
    middle = ids[len(ids) // 2]
    again = list(client.stream(task.id, last_event_id=middle))
    assert [int(e.id) for e in again if e.event != "progress"] == [i for i in ids if i > middle]


def test_one_training_at_a_time_and_the_others_say_why_they_wait(client, base_model, data):
    first = submit(client, base_model, data, **LONG)
    second = submit(client, base_model, data)
    third = submit(client, base_model, data)
    reaches_step(client, first.id)
    waiting = until(lambda: (t := client.task(second.id)).queue_reason and t, "a queue reason")
    assert waiting.status is Status.PENDING
    assert waiting.queue_reason.code == "waiting_for_slot"
    assert str(first.id) in waiting.queue_reason.message
    stopped = client.stop_task(third.id)  # a waiting task stops at once
    assert stopped.status is Status.STOPPED and stopped.started_at is None
    client.stop_task(first.id)
    assert ends(client, first.id).status is Status.STOPPED
    done = ends(client, second.id)
    assert done.status is Status.COMPLETED and done.queue_reason is None


def test_a_stop_leaves_a_checkpoint_and_no_process(client, server, base_model, data):
    task = submit(client, base_model, data, **LONG)
    running = reaches_step(client, task.id, 3)
    answer = client.stop_task(task.id)
    assert answer.phase == "stopping" and answer.status is Status.RUNNING
    client.stop_task(task.id)  # asking again changes nothing
    stopped = ends(client, task.id)
    assert stopped.status is Status.STOPPED and gone(running.pid) and stopped.error is None
    (checkpoint,) = Path(stopped.output_path).glob("checkpoint-*")
    assert (checkpoint / "adapter_model.safetensors").is_file()
    until(lambda: server.trainers() == [], "no process is left")
    with pytest.raises(Conflict):
        client.stop_task(task.id)


def test_a_deleted_task_is_stopped_and_leaves_no_trace_but_its_output(
    client, server, base_model, data
):
    task = submit(client, base_model, data, **LONG | {"save_steps": 2})
    running = reaches_step(client, task.id, 4)
    output = Path(running.output_path)
    until(lambda: list(output.glob("checkpoint-*")), "a checkpoint")
    client.delete_task(task.id)
    assert gone(running.pid) and server.trainers() == []
    assert not (server.data_dir / "tasks" / str(task.id)).exists()
    assert list(output.glob("checkpoint-*"))
    with pytest.raises(NotFound):
        client.task(task.id)
    with pytest.raises(NotFound):
        client.delete_task(task.id)


def test_a_trainer_killed_from_outside_has_failed_with_the_reason(client, base_model, data):
    task = submit(client, base_model, data, **LONG)
    os.kill(reaches_step(client, task.id).pid, signal.SIGKILL)
    failed = ends(client, task.id)
    assert failed.status is Status.FAILED
    assert failed.error.code == "killed" and "SIGKILL" in failed.error_message
    assert failed.error.suggested_change == {
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 2,
    }
    assert failed.error.log_lines and failed.error.hint


def test_a_bad_line_is_refused_at_creation_by_file_and_number(client, root, base_model):
    data = write_data(root / "bad at creation", bad_line='{"instruction": "x"')
    with pytest.raises(InvalidInput) as refused:
        submit(client, base_model, data)
    (problem,) = refused.value.problems
    assert problem.field == "datasetPath"
    assert "train.jsonl, line 13: not valid JSON" in str(refused.value)
    assert client.tasks().total == 0


def test_data_that_turned_bad_while_waiting_fails_with_file_and_line(
    client, root, base_model, data
):
    first = submit(client, base_model, data, **LONG)
    reaches_step(client, first.id)
    turning = write_data(root / "turns bad")
    second = submit(client, base_model, turning)
    with (turning / "train.jsonl").open("a") as file:
        file.write('{"instruction": "no answer"}\n')
    client.stop_task(first.id)
    failed = ends(client, second.id)
    assert failed.status is Status.FAILED and failed.error.code == "bad_row"
    assert "train.jsonl, line 13" in failed.error_message
    assert "output" in failed.error_message


def test_a_refused_task_leaves_nothing_behind(client, server, base_model, data, root):
    before = sorted(server.data_dir.rglob("tasks/*"))
    with pytest.raises(InvalidInput) as refused:
        client.create_task(
            "x",
            "/etc",
            str(root / "none"),
            output_path="/proc/out",
            training_args={"lora_rank": 3},
            gpu_config={"cuda_visible_devices": "0"},
        )
    assert {problem.field for problem in refused.value.problems} == {"trainingArgs.lora_rank"}
    with pytest.raises(InvalidInput) as refused:
        client.create_task(
            "x",
            "/etc",
            str(root / "none"),
            output_path=str(data),
            gpu_config={"cuda_visible_devices": "0"},
        )
    problems = {problem.field: str(problem.params) for problem in refused.value.problems}
    assert problems.keys() == {
        "baseModel",
        "datasetPath",
        "outputPath",
        "gpuConfig.cuda_visible_devices",
    }
    assert "TUNESMITH_ALLOWED_ROOTS" in problems["baseModel"]
    assert sorted(server.data_dir.rglob("tasks/*")) == before


def test_a_split_that_is_a_symlink_out_of_the_roots_is_refused(client, root, base_model):
    linked = root / "linked"
    linked.mkdir()
    (linked / "train.jsonl").symlink_to("/etc/passwd")
    with pytest.raises(InvalidInput) as refused:
        submit(client, base_model, linked)
    assert "TUNESMITH_ALLOWED_ROOTS" in str(refused.value)


def test_an_output_that_was_filled_while_the_task_waited_is_not_overwritten(
    client, root, base_model, data
):
    first = submit(client, base_model, data, **LONG)
    reaches_step(client, first.id)
    output = root / "filled"
    second = client.create_task("b", str(base_model), str(data), output_path=str(output))
    output.mkdir()
    (output / "mine.txt").write_text("keep")
    client.stop_task(first.id)
    failed = ends(client, second.id)
    assert failed.error.code == "start_failed" and str(output) in failed.error_message
    assert [file.name for file in output.iterdir()] == ["mine.txt"]


def test_a_default_output_belongs_to_its_task(client, server, base_model, data):
    with pytest.raises(InvalidInput) as refused:
        client.create_task(
            "x", str(base_model), str(data), output_path=str(server.data_dir / "outputs" / "99")
        )
    assert refused.value.problems[0].field == "outputPath"


def test_an_output_directory_is_claimed_once(client, root, base_model, data):
    output = str(root / "出 口")
    first = client.create_task(
        "a", str(base_model), str(data), output_path=output, training_args=LONG
    )
    with pytest.raises(Conflict) as refused:
        client.create_task("b", str(base_model), str(data), output_path=output)
    assert str(first.id) in str(refused.value)


def test_a_server_that_was_killed_takes_the_run_up_again(tmp_path, base_model, data, root):
    roots = {"TUNESMITH_ALLOWED_ROOTS": str(root)}
    server = Server(tmp_path, **roots).start()
    try:
        with server.client() as client:
            task = submit(client, base_model, data, **LONG | {"max_steps": 400})
            before = reaches_step(client, task.id, 3)
        server.kill()
        assert psutil.pid_exists(before.pid)
        server.start()
        with server.client() as client:
            running = client.task(task.id)
            assert (running.pid, running.status) == (before.pid, Status.RUNNING)
            done = ends(client, task.id)
            assert done.status is Status.COMPLETED, (done.error, client.log(task.id))
            assert done.attempt == 1 and done.pid == before.pid
            steps = [point.step for point in client.metrics(task.id).training]
            assert steps == list(range(1, 401))
    finally:
        server.close()


def test_a_run_that_ended_while_no_server_was_there_is_found_ended(
    tmp_path, base_model, data, root
):
    server = Server(tmp_path, TUNESMITH_ALLOWED_ROOTS=str(root)).start()
    try:
        with server.client() as client:
            task = submit(client, base_model, data, **LONG | {"max_steps": 50})
            before = reaches_step(client, task.id)
            waiting = submit(client, base_model, data)
        server.kill()
        until(lambda: gone(before.pid) and server.trainers() == [], "the trainer ends by itself")
        server.start()
        with server.client() as client:
            done = ends(client, task.id)
            assert done.status is Status.COMPLETED
            assert len(client.metrics(task.id).training) == 50
            assert ends(client, waiting.id).status is Status.COMPLETED
    finally:
        server.close()


def test_simulated_gpus_are_held_alone_and_marked(tmp_path, base_model, data, root):
    server = Server(
        tmp_path, TUNESMITH_ALLOWED_ROOTS=str(root), TUNESMITH_DEVICES="simulated:2x24GiB"
    ).start()
    try:
        with server.client() as client:
            first = client.create_task(
                "on 0",
                str(base_model),
                str(data),
                training_args=LONG,
                gpu_config={"cuda_visible_devices": "0"},
            )
            waits = client.create_task(
                "on 0 too",
                str(base_model),
                str(data),
                training_args=FAST,
                gpu_config={"cuda_visible_devices": "0"},
            )
            anywhere = submit(client, base_model, data)
            assert ends(client, anywhere.id).devices == [1]
            assert client.task(waits.id).queue_reason.code == "waiting_for_devices"
            held = {device.index: device for device in client.devices()}
            assert held[0].task_id == first.id and held[1].task_id is None
            assert held[0].simulated and client.task(first.id).simulated
            with pytest.raises(InvalidInput) as refused:
                client.create_task(
                    "x", str(base_model), str(data), gpu_config={"cuda_visible_devices": "1,2"}
                )
            assert "2" in str(refused.value)
            client.stop_task(first.id)
            assert ends(client, waits.id).status is Status.COMPLETED
    finally:
        server.close()


def test_a_full_queue_refuses_more(tmp_path, base_model, data, root):
    server = Server(tmp_path, TUNESMITH_ALLOWED_ROOTS=str(root), TUNESMITH_QUEUE_LIMIT="2").start()
    try:
        with server.client() as client:
            first = submit(client, base_model, data, **LONG)
            reaches_step(client, first.id)
            for _ in range(2):
                submit(client, base_model, data)
            with pytest.raises(Conflict) as refused:
                submit(client, base_model, data)
            assert "TUNESMITH_QUEUE_LIMIT" in str(refused.value)
            assert client.tasks().total == 3
    finally:
        server.close()


def test_a_second_server_on_the_same_data_is_refused(server):
    second = Server(server.data_dir.parent)
    with pytest.raises(AssertionError, match=server.url):
        second.start()
    assert second.process.wait() == 78
