import subprocess
import sys

import pytest

from tests.specs import make_spec
from tunesmith import allocator
from tunesmith.launch import environment_of
from tunesmith.memory_plan.records import GAPS, Workload
from tunesmith.settings import Settings

LOADED = "print('jemalloc' in open('/proc/self/maps').read())"


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    for name in ("LD_PRELOAD", "MALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)
    allocator._loads.cache_clear()
    yield
    allocator._loads.cache_clear()


def test_a_process_gets_it_where_it_is_installed():
    variables = allocator.environment()
    if not variables:
        pytest.skip("no libjemalloc.so.2 here: apt install libjemalloc2")
    told = subprocess.run(
        [sys.executable, "-c", LOADED], env=variables, capture_output=True, text=True, check=True
    )
    assert (told.stdout.strip(), told.stderr) == ("True", "")


def test_what_is_freed_is_kept_until_it_is_to_be_given_back():
    variables = allocator.environment()
    if not variables:
        pytest.skip("no libjemalloc.so.2 here: apt install libjemalloc2")
    code = (
        "import ctypes\n"
        "from tunesmith.trainer.memory import compact, resident\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.malloc.restype = ctypes.c_void_p\n"
        "block = ctypes.c_void_p(libc.malloc(ctypes.c_size_t(1 << 28)))\n"
        "ctypes.memset(block, 1, 1 << 28)\n"
        "held = resident()\n"
        "libc.free(block)\n"
        "freed = resident()\n"
        "compact()\n"
        "print(held - freed, freed - resident())\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True
    )
    at_once, then = map(int, told.stdout.split())
    assert abs(at_once) < 1 << 24
    assert abs(then - (1 << 28)) < 1 << 24


def test_a_library_that_is_not_there_is_not_asked_for(monkeypatch):
    monkeypatch.setattr(allocator, "LIBRARY", "libnosuchthing.so.9")
    assert allocator.environment() == {}
    assert not allocator.will_be_used()


def test_who_preloads_a_library_himself_has_decided(monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", "libtcmalloc.so.4")
    assert allocator.environment() == {}
    assert not allocator.will_be_used()
    monkeypatch.setenv("LD_PRELOAD", "/opt/lib/libjemalloc.so")
    assert allocator.environment() == {}
    assert allocator.will_be_used()


def test_trainers_on_a_cpu_get_it_and_those_on_a_gpu_do_not(monkeypatch):
    monkeypatch.setattr(allocator, "environment", lambda: {"LD_PRELOAD": "libjemalloc.so.2"})
    settings = Settings(data_dir="/d")
    on = {
        devices: environment_of(make_spec().model_copy(update={"devices": devices}), settings)
        for devices in ((), (0,))
    }
    assert "LD_PRELOAD" in on[()]
    assert "LD_PRELOAD" not in on[(0,)]


def test_a_plan_counts_the_gaps_that_another_heap_has():
    with_it, without = (Workload(device_type="cpu", jemalloc=each) for each in (True, False))
    assert without.overhead - with_it.overhead == GAPS
    assert Workload(jemalloc=False).overhead == Workload().overhead
