"""Entry: `python -m tunesmith.trainer RUN_DIR`. Exit 0 after `finished`, 1 after `error`.

A run that holds several devices starts this again for each of them: `RUN_DIR --rank [TOKENS]`, the
tokens that are computed at once where as many as the spec says did not fit.
"""

import os
import sys
import traceback
from pathlib import Path

from tunesmith.run_directory import RunDirectory
from tunesmith.trainer.stop import Stop


def main() -> int:
    # Before anything else is imported: a stop may come in the first second.
    stop = Stop()
    stop.listen()
    if len(sys.argv) not in (2, 3, 4):
        sys.stderr.write("usage: python -m tunesmith.trainer RUN_DIR\n")
        return 64  # EX_USAGE
    directory = RunDirectory(Path(sys.argv[1]))

    from tunesmith.trainer import ranks, run

    if sys.argv[2:3] == [ranks.RANK]:
        ranks.end_with_parent()
        room = int(sys.argv[3]) if sys.argv[3:] else None
        return run.main(directory, stop, ranks.place_of_this_process(), room)
    devices = ranks.devices_of(directory)
    if devices > 1:
        from tunesmith.trainer import several

        return several.launch(directory, devices, stop)
    return run.main(directory, stop)


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
