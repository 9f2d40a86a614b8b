import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tunesmith.executor import process


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as child:
        yield child
        child.kill()


def test_a_running_process_is_alive(sleeper: "subprocess.Popen[bytes]") -> None:
    assert process.identify(sleeper.pid).alive()


def test_a_zombie_is_not_alive_but_still_a_child(sleeper: "subprocess.Popen[bytes]") -> None:
    who = process.identify(sleeper.pid)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert not who.alive()
    assert not who.send(signal.SIGTERM)
    assert sleeper.pid in process.children(os.getpid())


def test_a_reaped_process_is_not_alive(sleeper: "subprocess.Popen[bytes]") -> None:
    who = process.identify(sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    assert not who.alive()
    assert not who.send_group(signal.SIGTERM)
    with pytest.raises(ProcessLookupError):
        process.identify(sleeper.pid)


@pytest.mark.parametrize("other", [{"start_time": 1}, {"boot_id": "another boot"}])
def test_who_took_over_the_pid_is_somebody_else(
    sleeper: "subprocess.Popen[bytes]", other: dict[str, int | str]
) -> None:
    who = process.identify(sleeper.pid)._replace(**other)
    assert not who.alive()
    assert not who.send(signal.SIGKILL)
    assert not who.send_group(signal.SIGKILL)
    assert sleeper.poll() is None


def test_a_signal_reaches_the_process_and_its_group(sleeper: "subprocess.Popen[bytes]") -> None:
    who = process.identify(sleeper.pid)
    assert who.send(signal.SIGCONT)
    assert who.send_group(signal.SIGTERM)
    assert sleeper.wait(10) == -signal.SIGTERM


def test_a_name_with_parentheses_and_spaces_is_read_right(tmp_path: Path) -> None:
    program = tmp_path / ") Z 1 ("
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as child:
        stat = process.read_stat(child.pid)
        assert (Path("/proc") / str(child.pid) / "comm").read_text() == ") Z 1 (\n"
        child.kill()
    assert stat is not None
    assert (stat.pid, stat.parent) == (child.pid, os.getpid())
    assert stat.state in "RSD"


def test_the_mark_is_inherited_by_a_child_in_a_session_of_its_own() -> None:
    value = f"运行 目录 {os.getpid()}"
    script = "import subprocess; subprocess.run(['sleep', '60'], start_new_session=True)"
    environment = os.environ | {"TEST_MARK": value}
    with subprocess.Popen([sys.executable, "-S", "-c", script], env=environment) as parent:
        deadline = time.monotonic() + 20
        while len(found := process.marked("TEST_MARK", value)) < 2:
            assert time.monotonic() < deadline
        for one in found:
            one.send(signal.SIGKILL)
    assert parent.pid in [one.pid for one in found]
    assert process.marked("TEST_MARK", value[:-1]) == []


def test_importing_the_supervisor_brings_no_package_of_others_in() -> None:
    script = (
        "import sys; before = set(sys.modules); import tunesmith.executor.supervisor; "
        "names = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(*sorted(names - sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["tunesmith"]
