"""What the exit status of `tunesmith` says. Documented in docs/cli.md and `tunesmith --help`."""

from enum import IntEnum

from tunesmith.errors import (
    Conflict,
    Misconfigured,
    NotFound,
    NotSignedIn,
    Refused,
    RunFailure,
    TunesmithError,
    Unreachable,
)
from tunesmith.status import Status


class ExitCode(IntEnum):
    """Those above 63 are of sysexits.h; 130 is a shell's for Ctrl-C."""

    OK = 0
    FAILED = 1  # the task
    REFUSED = 2  # wrong usage, or input that must be changed
    STOPPED = 3  # the task, by request
    NOT_FOUND = 4
    CONFLICT = 5
    NO_SERVER = 69
    SERVER_ERROR = 70
    NOT_SIGNED_IN = 77
    MISCONFIGURED = 78
    INTERRUPTED = 130


# The first that fits an error counts.
OF_ERROR: dict[type[TunesmithError], ExitCode] = {
    NotFound: ExitCode.NOT_FOUND,
    Conflict: ExitCode.CONFLICT,
    NotSignedIn: ExitCode.NOT_SIGNED_IN,
    Refused: ExitCode.REFUSED,
    RunFailure: ExitCode.FAILED,
    Misconfigured: ExitCode.MISCONFIGURED,
    Unreachable: ExitCode.NO_SERVER,
    TunesmithError: ExitCode.SERVER_ERROR,
}
OF_STATUS = {
    Status.COMPLETED: ExitCode.OK,
    Status.FAILED: ExitCode.FAILED,
    Status.STOPPED: ExitCode.STOPPED,
}


def of_error(error: TunesmithError) -> ExitCode:
    return next(code for kind, code in OF_ERROR.items() if isinstance(error, kind))
