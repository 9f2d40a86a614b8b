"""Where attempts run. The protocol that every executor keeps; `local` is the default."""

from pathlib import Path
from typing import Protocol


class Executor(Protocol):
    """Starts attempts and knows about them by a handle, a string that the store keeps.

    A server that restarts makes a new executor and goes on with the old handles.
    """

    def start(self, run_directory: Path, environment: dict[str, str]) -> str:
        """Start the trainer of `run_directory` (its spec.json is there) under supervision.

        `environment` is added to the server's own. Returns the handle. Raises OSError when
        nothing could be started; then nothing runs.
        """
        ...

    def alive(self, handle: str) -> bool:
        """Whether supervisor or trainer still run. A process that took over a pid is not them."""
        ...

    def stop(self, handle: str, grace: float) -> None:
        """Ask the attempt to end and return at once; after `grace` seconds it is killed.

        Calling it again with a shorter grace shortens the wait. No effect on an ended attempt.
        """
        ...

    def read(self, handle: str, file: str, offset: int, size: int) -> bytes:
        """Return up to `size` bytes of a file of the run directory; b"" where there are none.

        A negative `offset` counts from the end of the file.
        """
        ...
