"""The machine that trains: its devices, what it is doing, whether the server is well."""

from tunesmith.wire.answer import Answer


class Device(Answer):
    """A GPU and who holds it."""

    index: int
    name: str
    memory_total_bytes: int
    memory_used_bytes: int | None
    utilization_percent: float | None
    temperature_celsius: float | None
    simulated: bool
    task_id: int | None
    """The running task that holds it."""


class Machine(Answer):
    """The machine that trains, and what it is doing."""

    hostname: str
    cpu_count: int
    cpu_percent: float
    """Of all processors together."""
    memory_total_bytes: int
    """The machine's, or its container's limit."""
    memory_used_bytes: int
    disk_total_bytes: int
    """Of the disk that the data directory is on."""
    disk_free_bytes: int
    data_dir: str
    version: str
    running: int
    pending: int


class Health(Answer):
    """Whether the server is well. Needs no token."""

    status: str
    version: str
    running: int
    pending: int
