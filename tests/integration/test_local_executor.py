"""LocalExecutor over real processes; small Python scripts run in the trainer's place."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tunesmith.executor import Executor, process
from tunesmith.executor import supervisor as supervisor_module
from tunesmith.executor.local import MARK, READABLE, LocalExecutor
from tunesmith.run_directory import RunDirectory, read_json, write_json

pytestmark = pytest.mark.processes

OBEDIENT = """
import signal, sys
def stop(number, frame):
    print("saved", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
while True:
    signal.pause()
"""
STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
while True:
    signal.pause()
"""
CHILD_IN_ITS_GROUP = """
import subprocess
print(subprocess.Popen(["sleep", "600"]).pid, flush=True)
"""
# The daemon ignores SIGTERM and has a session and a parent (the supervisor) of its own.
DAEMON = """
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    daemon = os.fork()
    while daemon == 0:
        signal.pause()
    print(daemon, flush=True)
    os._exit(0)
os.wait()
"""


def eventually(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Return the first true value of `condition`; fail after a time that only a bug takes."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.005)
    return value


class Attempt:
    """A run directory and what its files say."""

    def __init__(self, path: Path, script: str, executor: LocalExecutor | None = None) -> None:
        path.mkdir(parents=True)
        self.run = RunDirectory(path)
        self.executor: Executor = executor or python(script)

    def start(self, **environment: str) -> "Attempt":
        self.handle = self.executor.start(self.run.path, environment)
        return self

    def log(self) -> str:
        return self.executor.read(self.handle, "train.log", 0, 100_000).decode()

    def ready(self) -> "Attempt":
        eventually(lambda: "\n" in self.log())
        return self

    def who(self, name: str) -> process.Process:
        known = read_json(self.run.supervisor)
        assert known is not None
        return process.Process(known[name]["pid"], known[name]["start_time"], known["boot_id"])

    def outcome(self) -> dict[str, Any]:
        """Wait for exit.json; by then nobody but the supervisor may be left."""
        trainer = self.who("trainer")
        outcome: dict[str, Any] = eventually(lambda: read_json(self.run.exit))
        assert process.read_stat(trainer.pid) is None
        assert {one.pid for one in process.marked(MARK, self.handle)} <= {
            self.who("supervisor").pid
        }
        eventually(lambda: not self.executor.alive(self.handle))
        return outcome


def python(script: str) -> LocalExecutor:
    return LocalExecutor(lambda run: [sys.executable, "-S", "-c", script, str(run)])


@pytest.fixture
def attempt(tmp_path: Path) -> Iterator[Callable[..., Attempt]]:
    """Make attempts in a directory whose name is hard on careless code; end what a test left."""
    made: list[Attempt] = []

    def make(script: str, executor: LocalExecutor | None = None) -> Attempt:
        path = tmp_path / "任务 one; $HOME 'x'" / str(len(made) + 1)
        made.append(Attempt(path, script, executor))
        return made[-1]

    yield make
    for one in made:
        handle = str(one.run.path)
        for left in process.marked(MARK, handle):
            left.send(signal.SIGKILL)
        eventually(lambda handle=handle: not process.marked(MARK, handle))  # type: ignore[misc]


def test_a_run_that_ends_well_has_exit_code_zero_and_its_output_in_the_log(
    attempt: Callable[..., Attempt],
) -> None:
    before = time.time()
    script = "import os, sys; os.write(2, b'to stderr\\n'); print('你好', os.environ['EXTRA'])"
    one = attempt(script).start(EXTRA="given", PYTHONIOENCODING="utf-8")
    outcome = one.outcome()
    assert before <= outcome.pop("ended_at") <= time.time()
    assert outcome.pop("peak_rss_bytes") > 1 << 20
    assert outcome == {
        "exit_code": 0,
        "signal": None,
        "stop_requested": False,
        "killed_after_grace": False,
        "oom_killed": False,
    }
    assert one.log() == "to stderr\n你好 given\n"
    assert one.executor.read(one.handle, "supervisor.log", 0, 100) == b""


def test_start_returns_with_the_trainers_pid_known(attempt: Callable[..., Attempt]) -> None:
    one = attempt(OBEDIENT).start()
    assert one.handle == str(one.run.path)
    assert one.who("trainer").alive()
    assert one.who("supervisor").alive()
    assert one.executor.alive(one.handle)


def test_supervisor_and_trainer_have_sessions_of_their_own(
    attempt: Callable[..., Attempt],
) -> None:
    one = attempt(OBEDIENT).start().ready()
    supervisor, trainer = one.who("supervisor").pid, one.who("trainer").pid
    assert (os.getsid(supervisor), os.getsid(trainer)) == (supervisor, trainer)
    assert Path(f"/proc/{supervisor}/fd/1").readlink() == Path(os.devnull)
    assert Path(f"/proc/{trainer}/fd/0").readlink() == Path(os.devnull)


def test_the_trainer_gets_signals_as_a_fresh_process_does(attempt: Callable[..., Attempt]) -> None:
    # Blocked and ignored signals outlive an exec; the supervisor's own must not.
    script = """
import signal
assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])
for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
    assert signal.getsignal(one) is signal.SIG_DFL, one
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""
    assert attempt(script).start().outcome()["exit_code"] == 0


def test_the_servers_settings_and_token_do_not_reach_the_trainer(
    attempt: Callable[..., Attempt], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_TOKEN", "not for the trainer")
    monkeypatch.setenv("OTHER", "is")
    one = attempt("import os; print(os.environ.get('TUNESMITH_TOKEN'), os.environ['OTHER'])")
    one.start().outcome()
    assert one.log() == "None is\n"


def test_a_failing_run_has_its_exit_code(attempt: Callable[..., Attempt]) -> None:
    one = attempt("raise SystemExit(3)").start()
    outcome = one.outcome()
    assert (outcome["exit_code"], outcome["signal"]) == (3, None)


def test_a_trainer_killed_from_outside_was_not_stopped(attempt: Callable[..., Attempt]) -> None:
    one = attempt(OBEDIENT).start().ready()
    one.who("trainer").send(signal.SIGKILL)
    outcome = one.outcome()
    assert (outcome["exit_code"], outcome["signal"]) == (None, signal.SIGKILL)
    assert not outcome["stop_requested"]
    assert not outcome["killed_after_grace"]
    assert not outcome["oom_killed"]


def test_a_stopped_trainer_has_time_to_save(attempt: Callable[..., Attempt]) -> None:
    one = attempt(OBEDIENT).start().ready()
    one.executor.stop(one.handle, 600)
    outcome = one.outcome()
    assert (outcome["exit_code"], outcome["signal"]) == (0, None)
    assert outcome["stop_requested"]
    assert not outcome["killed_after_grace"]
    assert one.log() == "ready\nsaved\n"


@pytest.mark.parametrize("grace", [0, 0.2])
def test_a_trainer_that_ignores_the_stop_is_killed_after_the_grace(
    attempt: Callable[..., Attempt], grace: float
) -> None:
    one = attempt(STUBBORN).start().ready()
    asked = time.time()
    one.executor.stop(one.handle, grace)
    outcome = one.outcome()
    assert outcome["signal"] == signal.SIGKILL
    assert outcome["stop_requested"]
    assert outcome["killed_after_grace"]
    assert not outcome["oom_killed"]
    assert outcome["ended_at"] >= asked + grace


def test_a_second_stop_shortens_the_grace_but_never_lengthens_it(
    attempt: Callable[..., Attempt],
) -> None:
    one = attempt(STUBBORN).start().ready()
    one.executor.stop(one.handle, 600)
    one.executor.stop(one.handle, 0.1)
    one.executor.stop(one.handle, 600)
    assert one.outcome()["killed_after_grace"]


def test_the_trainer_is_asked_once_however_often_it_is_stopped(
    attempt: Callable[..., Attempt],
) -> None:
    script = """
import signal
print("ready", flush=True)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
signal.sigwait([signal.SIGTERM])
print("asked", flush=True)
signal.sigtimedwait([signal.SIGTERM], 600)
print("asked again", flush=True)
"""
    one = attempt(script).start().ready()
    one.executor.stop(one.handle, 600)
    eventually(lambda: "asked" in one.log())
    one.executor.stop(one.handle, 600)
    one.executor.stop(one.handle, 0.3)
    assert one.outcome()["killed_after_grace"]
    assert one.log() == "ready\nasked\n"


def test_sigterm_by_hand_without_a_stop_file_asks_the_trainer_to_stop(
    attempt: Callable[..., Attempt],
) -> None:
    one = attempt(OBEDIENT).start().ready()
    one.who("supervisor").send(signal.SIGTERM)
    assert one.outcome()["stop_requested"]


def test_a_stop_from_before_the_pid_was_known_is_seen(attempt: Callable[..., Attempt]) -> None:
    one = attempt(OBEDIENT)
    write_json(one.run.stop, {"grace_seconds": 0})
    assert one.start().outcome()["stop_requested"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_the_signals_of_a_terminal_do_not_end_the_supervisor(
    attempt: Callable[..., Attempt], number: int
) -> None:
    one = attempt(OBEDIENT).start().ready()
    one.who("supervisor").send(number)
    one.executor.stop(one.handle, 600)
    assert one.outcome()["exit_code"] == 0


def test_an_ended_attempt_cannot_be_stopped(attempt: Callable[..., Attempt]) -> None:
    one = attempt("").start()
    one.outcome()
    one.executor.stop(one.handle, 0)
    assert not one.run.stop.exists()


def test_a_child_left_in_the_trainers_group_is_ended(attempt: Callable[..., Attempt]) -> None:
    one = attempt(CHILD_IN_ITS_GROUP).start()
    assert one.outcome()["exit_code"] == 0
    assert process.read_stat(int(one.log())) is None


def test_a_daemon_left_in_a_session_of_its_own_is_ended(attempt: Callable[..., Attempt]) -> None:
    one = attempt(DAEMON).start()
    assert one.outcome()["exit_code"] == 0
    assert process.read_stat(int(one.log())) is None


def test_orphans_that_end_during_the_run_do_not_stay_as_zombies(
    attempt: Callable[..., Attempt],
) -> None:
    script = """
import os
if os.fork() == 0:
    if os.fork() == 0:
        os._exit(0)
    os._exit(0)
os.wait()
"""
    one = attempt(script + OBEDIENT).start().ready()
    supervisor, trainer = one.who("supervisor").pid, one.who("trainer").pid
    eventually(lambda: process.children(supervisor) == [trainer])
    assert one.executor.alive(one.handle)


def test_a_trainer_whose_supervisor_dies_is_asked_to_stop(attempt: Callable[..., Attempt]) -> None:
    one = attempt(OBEDIENT).start().ready()
    one.who("supervisor").send(signal.SIGKILL)
    eventually(lambda: not one.executor.alive(one.handle))
    assert one.log() == "ready\nsaved\n"
    assert not one.run.exit.exists()
    assert process.marked(MARK, one.handle) == []


def test_what_a_trainer_without_a_supervisor_left_is_ended(attempt: Callable[..., Attempt]) -> None:
    one = attempt(DAEMON + OBEDIENT).start().ready()
    daemon = process.identify(int(one.log().split()[0]))
    eventually(lambda: "ready" in one.log())
    one.who("supervisor").send(signal.SIGKILL)
    eventually(lambda: not one.executor.alive(one.handle))
    assert not daemon.alive()
    assert process.marked(MARK, one.handle) == []


@pytest.mark.parametrize("grace", [0, 0.2])
def test_a_trainer_without_a_supervisor_is_killed_after_the_grace(
    attempt: Callable[..., Attempt], grace: float
) -> None:
    one = attempt(CHILD_IN_ITS_GROUP + STUBBORN).start()
    eventually(lambda: "ready" in one.log())
    one.who("supervisor").send(signal.SIGKILL)
    eventually(lambda: not one.who("supervisor").alive())
    assert one.executor.alive(one.handle)
    one.executor.stop(one.handle, 600)
    assert one.executor.alive(one.handle)
    one.executor.stop(one.handle, grace)
    eventually(lambda: not one.executor.alive(one.handle))
    assert process.marked(MARK, one.handle) == []


@pytest.mark.parametrize("wrong", ["start_time", "boot_id"])
def test_a_pid_taken_over_by_another_process_is_not_alive_and_never_signalled(
    attempt: Callable[..., Attempt], wrong: str
) -> None:
    one = attempt("")
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        # Both the stranger and this very test: a signal would end one or the other.
        known: dict[str, Any] = {
            "boot_id": process.boot_id(),
            "supervisor": {"pid": os.getpid()},
            "trainer": {"pid": stranger.pid},
        }
        for name in ("supervisor", "trainer"):
            known[name]["start_time"] = process.identify(known[name]["pid"]).start_time
            known[name]["start_time"] -= wrong == "start_time"
        known["boot_id"] += "x" * (wrong == "boot_id")
        write_json(one.run.supervisor, known)
        handle = str(one.run.path)
        assert not one.executor.alive(handle)
        one.executor.stop(handle, 0)
        assert not one.executor.alive(handle)
        assert stranger.poll() is None
        stranger.kill()
    assert stranger.returncode == -signal.SIGKILL


def test_a_new_executor_goes_on_with_an_old_handle(attempt: Callable[..., Attempt]) -> None:
    one = attempt(OBEDIENT).start().ready()
    restarted = LocalExecutor()
    assert restarted.alive(one.handle)
    restarted.stop(one.handle, 600)
    assert one.outcome()["stop_requested"]
    assert not restarted.alive(one.handle)
    assert restarted.read(one.handle, "train.log", 0, 100) == b"ready\nsaved\n"


def test_an_attempt_outlives_the_server_that_started_it(attempt: Callable[..., Attempt]) -> None:
    one = attempt(OBEDIENT)
    server = """
import os, signal, sys
from pathlib import Path
from tunesmith.executor.local import LocalExecutor
trainer = sys.argv[2]
executor = LocalExecutor(lambda run: [sys.executable, "-S", "-c", trainer])
executor.start(Path(sys.argv[1]), {})
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", server, str(one.run.path), OBEDIENT], check=False)
    assert done.returncode == -signal.SIGKILL
    one.handle = str(one.run.path)
    one.ready()
    assert one.executor.alive(one.handle)
    one.executor.stop(one.handle, 600)
    assert one.outcome()["exit_code"] == 0


def test_no_zombie_stays_in_the_server(attempt: Callable[..., Attempt]) -> None:
    executor = python("")
    supervisors = []
    for _ in range(3):
        one = attempt("", executor).start()
        supervisors.append(one.who("supervisor").pid)
        one.outcome()
    eventually(lambda: not set(supervisors) & set(process.children(os.getpid())))


def test_a_command_that_cannot_be_started_is_an_error_with_the_reason(
    attempt: Callable[..., Attempt],
) -> None:
    one = attempt("", LocalExecutor(lambda run: ["/nowhere/python", str(run)]))
    with pytest.raises(OSError, match="No such file or directory: '/nowhere/python'"):
        one.start()
    outcome = read_json(one.run.exit)
    assert outcome is not None
    assert outcome["exit_code"] == supervisor_module.COULD_NOT_START
    assert "/nowhere/python" in outcome["error"]
    assert sorted(path.name for path in one.run.path.iterdir()) == [
        "exit.json",
        "supervisor.log",
        "train.log",
    ]
    assert not one.executor.alive(str(one.run.path))


def test_a_supervisor_that_cannot_say_whom_it_started_leaves_nothing_running(
    attempt: Callable[..., Attempt],
) -> None:
    # supervisor.json cannot be put in the place of a directory.
    one = attempt("")
    (one.run.path / "supervisor.json" / "in the way").mkdir(parents=True)
    command = ["--", "/bin/sh", "-c", "sleep 600 & sleep 600"]
    subprocess.run(
        [sys.executable, "-m", "tunesmith.executor.supervisor", str(one.run.path), *command],
        env=os.environ | {MARK: str(one.run.path)},
        check=True,
        timeout=20,
    )
    assert process.marked(MARK, str(one.run.path)) == []
    outcome = read_json(one.run.exit)
    assert outcome is not None
    assert outcome["exit_code"] == supervisor_module.COULD_NOT_START


def test_a_missing_run_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LocalExecutor().start(tmp_path / "missing", {})
    assert not LocalExecutor().alive(str(tmp_path / "missing"))


def test_a_run_directory_is_started_once(attempt: Callable[..., Attempt]) -> None:
    one = attempt(OBEDIENT).start()
    first = one.run.supervisor.read_bytes()
    with pytest.raises(FileExistsError):
        one.start()
    assert one.run.supervisor.read_bytes() == first
    assert one.executor.alive(one.handle)


def test_an_attempt_whose_directory_was_removed_by_hand_can_be_stopped(
    attempt: Callable[..., Attempt],
) -> None:
    one = attempt(STUBBORN).start().ready()
    one.run.path.rename(one.run.path.with_name("elsewhere"))
    assert one.executor.alive(one.handle)
    one.executor.stop(one.handle, 600)
    eventually(lambda: not one.executor.alive(one.handle))


def test_read_gives_parts_of_files_and_nothing_of_missing_ones(
    attempt: Callable[..., Attempt],
) -> None:
    one = attempt("")
    one.run.log.write_bytes(b"0123456789")
    handle = str(one.run.path)
    assert one.executor.read(handle, "train.log", 2, 3) == b"234"
    assert one.executor.read(handle, "train.log", 8, 100) == b"89"
    assert one.executor.read(handle, "train.log", 10, 100) == b""
    assert one.executor.read(handle, "events.jsonl", 0, 100) == b""
    assert one.executor.read(handle + "/missing", "events.jsonl", 0, 100) == b""


def test_read_gives_no_other_files(attempt: Callable[..., Attempt]) -> None:
    one = attempt("")
    (one.run.path / "secret").write_text("x")
    for file in ("secret", "../secret", "/etc/hostname", ""):
        with pytest.raises(ValueError, match="not to be read"):
            one.executor.read(str(one.run.path), file, 0, 10)
    with pytest.raises(ValueError, match="not to be read"):
        one.executor.read(str(one.run.path), "train.log", 0, -1)
    assert {"spec.json", "exit.json", "supervisor.log"} <= READABLE


def test_exit_json_is_written_when_the_trainer_filled_the_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        run = RunDirectory(disk)
        fill = "dd if=/dev/zero of=fill bs=4096 2>/dev/null; echo no room"
        executor = LocalExecutor(lambda run: ["/bin/sh", "-c", f"cd {run} && {fill}"])
        executor.start(disk, {})
        outcome = eventually(lambda: read_json(run.exit))
        assert (disk / "fill").stat().st_size > 0
        assert run.log.read_bytes() == b""
        assert outcome["exit_code"] is not None
        eventually(lambda: not executor.alive(str(disk)))
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_trainer_that_the_kernel_killed_for_memory_is_known(tmp_path: Path) -> None:
    group = Path("/sys/fs/cgroup/memory") / f"tunesmith-test-{os.getpid()}"
    if os.getuid() != 0 or not (group.parent / "memory.limit_in_bytes").exists():
        pytest.skip("needs root and a memory control group (cgroup v1)")
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(64 << 20))
        greedy = f"{shlex.quote(sys.executable)} -S -c 'len(bytearray(b\"1\") * (200 << 20))'"
        enter = f"echo $$ > {group}/cgroup.procs && exec {greedy}"
        executor = LocalExecutor(lambda run: ["/bin/sh", "-c", enter])
        executor.start(tmp_path, {})
        outcome = eventually(lambda: read_json(RunDirectory(tmp_path).exit))
        assert (outcome["signal"], outcome["oom_killed"]) == (signal.SIGKILL, True)
        assert outcome["peak_rss_bytes"] > 32 << 20
        eventually(lambda: not executor.alive(str(tmp_path)))
    finally:
        group.rmdir()


def test_a_negative_offset_reads_from_the_end(tmp_path):
    (tmp_path / "train.log").write_bytes(b"0123456789")
    executor = LocalExecutor()
    assert executor.read(str(tmp_path), "train.log", -3, 100) == b"789"
    assert executor.read(str(tmp_path), "train.log", -100, 4) == b"0123"
