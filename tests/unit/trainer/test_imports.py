import gc
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.runs import Run
from tests.specs import make_spec
from tunesmith.trainer.imports import left_out, uncollected, unused

SHOW = """
import runpy, sys
sys.argv = ["trainer", {directory!r}]
try:
    from tunesmith.trainer import run
    from tunesmith.trainer.stop import Stop
    from pathlib import Path
    from tunesmith.run_directory import RunDirectory
    assert run.main(RunDirectory(Path({directory!r})), Stop()) == 0
finally:
    print("IMPORTED", *sorted({{name.partition(".")[0] for name in sys.modules}}))
"""


def test_what_is_left_out_is_there_again_afterwards() -> None:
    sys.modules.pop("colorsys", None)
    with left_out(("colorsys", "json")):
        assert importlib.util.find_spec("colorsys") is None
        with pytest.raises(ImportError):
            import colorsys
        import json  # imported before: stays

        assert json.loads("1") == 1
    import colorsys

    assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)


def test_qlora_needs_bitsandbytes_and_others_do_not() -> None:
    assert "bitsandbytes" in unused(make_spec().training)
    assert "bitsandbytes" not in unused(make_spec(method="qlora").training)


def test_the_collector_passes_over_what_was_imported() -> None:
    frozen = gc.get_freeze_count()
    try:
        with uncollected():
            assert not gc.isenabled()
            made = [[] for _ in range(1000)]
        assert gc.isenabled()
        assert gc.get_freeze_count() >= frozen + len(made)
    finally:
        gc.unfreeze()


def test_a_lora_run_imports_nothing_that_it_does_not_use(llama: Path, tmp_path: Path) -> None:
    run = Run(tmp_path, llama)
    run.spawn = lambda: run  # type: ignore[method-assign]
    run.start(num_train_epochs=1)
    shown = subprocess.run(
        [sys.executable, "-c", SHOW.format(directory=str(run.directory.path))],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    imported = set(shown.rpartition("IMPORTED")[2].split())
    assert {"torch", "transformers", "peft"} <= imported
    assert not imported & set(unused(make_spec().training))
