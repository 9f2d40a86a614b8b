"""Schema, devices, health and documentation."""

import json
import re
import socket

from tests.unit.api.parts import started, stored
from tunesmith import __version__, wire
from tunesmith.machine import look_at_machine
from tunesmith.spec import TrainingArguments


def test_the_schema_describes_every_argument_with_hints_in_both_languages(api):
    arguments = [wire.Argument.model_validate(each) for each in api.data("getTrainingSchema")]
    assert [argument.name for argument in arguments] == list(TrainingArguments.model_fields)
    by_name = {argument.name: argument for argument in arguments}
    rate = by_name["learning_rate"]
    assert (rate.default, rate.minimum, rate.minimum_exclusive) == (2e-4, 0, True)
    assert rate.recommended == [5e-5, 2e-4]
    assert by_name["per_device_train_batch_size"].aliases == ["batch_size"]
    assert rate.recommended_by_method == {"full": [5e-6, 5e-5]}
    assert (rate.label_zh, rate.section, rate.unit) == ("学习率", "basic", "")
    assert rate.advice_en.startswith("Small base models 2e-4")
    assert (by_name["max_steps"].section, by_name["max_steps"].unit) == ("advanced", "steps")
    assert by_name["seed"].advice_zh == by_name["seed"].advice_en == ""
    for argument in arguments:
        for text in (argument.hint_en, argument.hint_zh, argument.label_en, argument.label_zh):
            assert text and not text.startswith("args.")
        assert bool(argument.advice_zh) == bool(argument.advice_en)


def test_units_and_presets_are_in_the_readers_language(api):
    schema = api.data("getTrainingSchema", lang="zh")
    assert next(each for each in schema if each["name"] == "max_steps")["unit"] == "步"
    assert {each["unit"] for each in schema} >= {"步", "轮", "条", "token", "位", "次", ""}
    presets = [wire.TrainingPreset.model_validate(p) for p in api.data("getTrainingPresets")]
    assert [preset.key for preset in presets] == ["quick", "lora", "qlora", "full"]
    assert presets[1].title == "Standard LoRA"
    titles = [preset["title"] for preset in api.data("getTrainingPresets", lang="zh")]
    assert titles == ["快速测试", "标准 LoRA", "省显存 QLoRA", "全量微调"]


def test_the_device_list_names_the_task_that_holds_a_device(api, state):
    assert api.data("getDeviceList")[0]["taskId"] is None
    task = started(state, stored(state), devices=(0,))
    device = wire.Device.model_validate(api.data("getDeviceList")[0])
    assert (device.index, device.task_id, device.simulated) == (0, task.id, True)
    assert device.memory_total_bytes == 2**30


def test_the_machine_tells_what_it_has_and_does(api, state):
    started(state, stored(state))
    stored(state)
    machine = wire.Machine.model_validate(api.data("getMachine"))
    assert machine.hostname == socket.gethostname()
    assert machine.cpu_count >= 1
    assert 0 <= machine.cpu_percent <= 100
    assert 0 < machine.memory_used_bytes < machine.memory_total_bytes
    assert 0 < machine.disk_free_bytes <= machine.disk_total_bytes
    assert machine.data_dir == str(state.settings.data_dir)
    assert (machine.version, machine.running, machine.pending) == (__version__, 1, 1)


def test_a_containers_limit_is_the_memory_there_is(tmp_path):
    limits = {"memory.max": 1 << 20, "memory.current": 1 << 19, "memory.stat": "inactive_file 0\n"}
    for name, value in limits.items():
        (tmp_path / name).write_text(str(value))
    machine = look_at_machine(tmp_path, cgroup=tmp_path)
    assert (machine.memory_total_bytes, machine.memory_used_bytes) == (1 << 20, 1 << 19)
    (tmp_path / "memory.max").write_text("max\n")
    assert look_at_machine(tmp_path, cgroup=tmp_path).memory_total_bytes > 1 << 20


def test_health_counts_what_runs_and_waits(api, state):
    started(state, stored(state))
    stored(state)
    response = api("GET", "/health", token=None)
    assert response.json()["data"] == {
        "status": "ok",
        "version": __version__,
        "running": 1,
        "pending": 1,
    }


def test_a_store_that_cannot_be_read_is_not_healthy(api, state):
    state.store.close()
    state.settings.data_dir.joinpath("tunesmith.db").write_bytes(b"no database" * 1000)
    assert api("GET", "/health", token=None).status_code == 500


def test_the_documentation_shows_every_endpoint_with_its_fields(api):
    document = api("GET", "/openapi.json", token=None).json()
    operations = {
        operation["operationId"]: operation
        for path in document["paths"].values()
        for operation in path.values()
    }
    assert set(operations) == {
        "createTask", "deleteTask", "stopTask", "getTask", "getTaskList", "getTaskLog",
        "getTaskMetrics", "streamTask", "streamTaskLog", "downloadTaskLog", "getDeviceList",
        "getTrainingSchema", "getModelList", "inspectModel", "checkDataset", "previewSample",
        "planMemory", "getMemoryHistory", "signIn", "signOut", "getMe", "checkTask",
        "getTrainingPresets", "getTaskStatistics", "getTaskSparklines", "getTaskEvents",
        "streamTaskList", "readTaskLog", "searchTaskLog", "listDirectory", "getMachine", "health",
    }  # fmt: skip
    schemas = document["components"]["schemas"]
    assert {"ID", "CreatedAt", "userID", "trainingArgs"} <= set(schemas["Task"]["properties"])
    assert {"baseModel", "datasetPath"} <= set(schemas["TaskRequest"]["properties"])
    assert "lora_r" in schemas["TrainingArguments"]["properties"]
    for name, operation in operations.items():
        assert bool(operation.get("security")) == (name not in ("health", "signIn", "signOut"))
        assert "HTTPValidationError" not in json.dumps(operation)


def test_the_documentation_page_needs_no_other_host(api):
    page = api("GET", "/docs", token=None)
    assert page.status_code == 200
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert addresses
    for address in addresses:
        assert address.startswith("/")
        assert api("GET", address, token=None).status_code == 200
    assert "//" not in re.sub(r"(?m)^\s*//.*$|<!--.*?-->", "", page.text).replace("://", "")
