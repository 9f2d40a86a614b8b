"""The NVML path runs on a fake `pynvml` put in sys.modules: the machines these tests run on have
no NVIDIA GPU. What is faked is the module's interface, taken from nvidia-ml-py 13."""

import os
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tunesmith import devices
from tunesmith.devices import Device, inventory

GIB = 2**30


class NVMLError(Exception):
    pass


class NVMLError_NotSupported(NVMLError):
    pass


class FakeNvml(ModuleType):
    """Two GPUs. `failing` maps a function's name to the error it raises."""

    NVMLError = NVMLError
    NVMLError_NotSupported = NVMLError_NotSupported
    NVML_TEMPERATURE_GPU = 0

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.failing: dict[str, Exception] = {}
        self.initialised = 0

    def _answer(self, function: str, value: Any) -> Any:
        if function in self.failing:
            raise self.failing[function]
        return value

    def nvmlInit(self) -> None:
        self._answer("nvmlInit", None)
        self.initialised += 1

    def nvmlShutdown(self) -> None:
        if not self.initialised:
            raise NVMLError("uninitialised")
        self.initialised -= 1

    def nvmlDeviceGetCount(self) -> int:
        return int(self._answer("nvmlDeviceGetCount", 2))

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return int(self._answer("nvmlDeviceGetHandleByIndex", index))

    def nvmlDeviceGetName(self, handle: int) -> str | bytes:
        return ("NVIDIA L40S", b"NVIDIA H100 \xff")[handle]

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        value = SimpleNamespace(total=(48, 80)[handle] * GIB, used=handle * GIB, free=0)
        answer: SimpleNamespace = self._answer("nvmlDeviceGetMemoryInfo", value)
        return answer

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:
        answer: SimpleNamespace = self._answer(
            "nvmlDeviceGetUtilizationRates", SimpleNamespace(gpu=37, memory=5)
        )
        return answer

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:
        assert sensor == self.NVML_TEMPERATURE_GPU
        return int(self._answer("nvmlDeviceGetTemperature", 61))


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNvml]:
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    devices._open_nvml.cache_clear()
    yield fake
    devices._open_nvml.cache_clear()


def test_every_gpu_of_the_driver_is_listed(nvml: FakeNvml) -> None:
    assert inventory("auto") == [
        Device(0, "NVIDIA L40S", 48 * GIB, 0, 37.0, 61.0, simulated=False),
        Device(1, "NVIDIA H100 �", 80 * GIB, GIB, 37.0, 61.0, simulated=False),
    ]


def test_the_driver_is_opened_once(nvml: FakeNvml) -> None:
    inventory("auto")
    inventory("auto")
    assert nvml.initialised == 1


@pytest.mark.parametrize(
    "function", ["nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex"]
)
@pytest.mark.parametrize("error", [NVMLError("lost"), OSError("no such library")])
def test_a_failing_driver_means_no_devices_until_it_answers_again(
    nvml: FakeNvml, function: str, error: Exception
) -> None:
    assert len(inventory("auto")) == 2
    devices._open_nvml.cache_clear()
    nvml.failing = {function: error}
    assert inventory("auto") == []
    nvml.failing = {}
    assert len(inventory("auto")) == 2


def test_after_an_error_the_driver_is_closed_and_opened_anew(nvml: FakeNvml) -> None:
    inventory("auto")
    nvml.failing = {"nvmlDeviceGetCount": NVMLError("driver reloaded")}
    inventory("auto")
    assert nvml.initialised == 0
    nvml.failing = {}
    inventory("auto")
    assert nvml.initialised == 1


def test_a_value_that_the_device_does_not_tell_is_none(nvml: FakeNvml) -> None:
    nvml.failing = {
        "nvmlDeviceGetUtilizationRates": NVMLError_NotSupported(),
        "nvmlDeviceGetTemperature": NVMLError("unknown"),
    }
    first = inventory("auto")[0]
    assert (first.utilization_percent, first.temperature_celsius) == (None, None)
    assert first.memory_total_bytes == 48 * GIB


def test_a_gpu_without_memory_of_its_own_has_the_machines(nvml: FakeNvml) -> None:
    nvml.failing = {"nvmlDeviceGetMemoryInfo": NVMLError_NotSupported()}
    first = inventory("auto")[0]
    assert first.memory_total_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert first.memory_used_bytes is None


def test_without_nvidias_library_the_real_module_finds_no_devices() -> None:
    pynvml = pytest.importorskip("pynvml")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        assert inventory("auto") == []
    else:
        count = pynvml.nvmlDeviceGetCount()
        pynvml.nvmlShutdown()
        assert [device.index for device in inventory("auto")] == list(range(count))


def test_none_asks_nobody(nvml: FakeNvml) -> None:
    assert inventory("none") == []
    assert nvml.initialised == 0


def test_simulated_devices_say_that_they_are_and_know_no_load() -> None:
    assert inventory("simulated:2x1.5GiB") == [
        Device(index, "Simulated GPU", 3 * GIB // 2, None, None, None, simulated=True)
        for index in range(2)
    ]


def test_a_wrong_source_is_refused() -> None:
    with pytest.raises(ValueError, match="simulated"):
        inventory("amd")
