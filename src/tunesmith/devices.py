"""The GPUs there are: asked from NVIDIA's driver, or simulated for trying and testing."""

import functools
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from tunesmith.settings import simulated_devices


@dataclass(frozen=True)
class Device:
    """One GPU. A value is None where the device does not tell it."""

    index: int
    """From 0 in the order of the PCI bus, as nvidia-smi counts. CUDA counts so too only with
    CUDA_DEVICE_ORDER=PCI_BUS_ID."""
    name: str
    memory_total_bytes: int
    memory_used_bytes: int | None
    utilization_percent: float | None
    temperature_celsius: float | None
    simulated: bool


def inventory(source: str) -> list[Device]:
    """Return the devices of `source`: auto, none or simulated:<count>x<size>GiB (`settings`).

    auto asks NVIDIA's driver now; no driver, or a driver that fails, means no devices.
    """
    if source == "none":
        return []
    if source == "auto":
        return _nvidia_devices()
    count, memory = simulated_devices(source)
    return [
        Device(index, "Simulated GPU", memory, None, None, None, simulated=True)
        for index in range(count)
    ]


def _nvidia_devices() -> list[Device]:
    import pynvml  # of nvidia-ml-py; 50 ms that no other source needs

    try:
        nvml = _open_nvml()
        return [_nvidia_device(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
    except (pynvml.NVMLError, OSError):
        # The driver may have been reloaded: begin anew at the next call.
        _open_nvml.cache_clear()
        with suppress(pynvml.NVMLError, OSError):
            pynvml.nvmlShutdown()
        return []


@functools.cache
def _open_nvml() -> ModuleType:
    """Initialise NVML, once a process: where no persistence daemon runs, the driver would
    otherwise set every GPU up and take it down again, seconds each, at each call."""
    import pynvml

    pynvml.nvmlInit()
    return pynvml  # type: ignore[no-any-return]


def _nvidia_device(nvml: Any, index: int) -> Device:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    name = nvml.nvmlDeviceGetName(handle)
    total, used = _memory(nvml, handle)
    return Device(
        index,
        name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name),
        total,
        used,
        _or_none(nvml, lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
        _or_none(nvml, lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
        simulated=False,
    )


def _memory(nvml: Any, handle: Any) -> tuple[int, int | None]:
    """Return total and used bytes."""
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError_NotSupported:
        # GB10 (DGX Spark) and Jetson have no memory of their own; they use the machine's.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), None
    return int(memory.total), int(memory.used)


def _or_none(nvml: Any, ask: Callable[[], float]) -> float | None:
    try:
        return float(ask())
    except nvml.NVMLError:
        return None
