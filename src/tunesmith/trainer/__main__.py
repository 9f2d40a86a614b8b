"""Entry: `python -m tunesmith.trainer RUN_DIR`. Exit 0 after `finished`, 1 after `error`."""

import os
import sys
import traceback
from pathlib import Path

from tunesmith.trainer.stop import Stop


def main() -> int:
    # Before anything else is imported: a stop may come in the first second.
    stop = Stop()
    stop.listen()
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m tunesmith.trainer RUN_DIR\n")
        return 64  # EX_USAGE

    from tunesmith.trainer import run

    return run.main(Path(sys.argv[1]), stop)


if __name__ == "__main__":
    try:
        code = main()
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: everything is written, and torch's or a driver's teardown (thread pools, CUDA
    # contexts) has been seen to hang for ever in processes that were done.
    os._exit(code)
