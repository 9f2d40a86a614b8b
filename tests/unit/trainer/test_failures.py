import errno

import pytest
import torch

from tunesmith.errors import RunFailure
from tunesmith.trainer.failures import describe


@pytest.mark.parametrize(
    ("error", "code", "params"),
    [
        (RunFailure("no_labels", samples=3), "no_labels", {"samples": 3}),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried"),
            "out_of_memory",
            {"device": "cuda:0", "reason": "OutOfMemoryError: CUDA out of memory. Tried"},
        ),
        (MemoryError(), "out_of_memory", {"device": "cuda:0", "reason": "MemoryError"}),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried\nx"),
            "out_of_memory",
            {
                "device": "cuda:0",
                "reason": "RuntimeError: [enforce fail] DefaultCPUAllocator: "
                "can't allocate memory: you tried",
            },
        ),
        (
            RuntimeError("could not create a primitive"),
            "out_of_memory",
            {"device": "cuda:0", "reason": "RuntimeError: could not create a primitive"},
        ),
        (
            RuntimeError("can't start new thread"),
            "out_of_memory",
            {"device": "cuda:0", "reason": "RuntimeError: can't start new thread"},
        ),
        (OSError(errno.ENOSPC, "No space left", "/out/a"), "disk_full", {"path": "/out/a"}),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full", {"path": "/out"}),
        (
            Exception('Error while serializing: Os { code: 28, kind: StorageFull, message: "" }'),
            "disk_full",
            {"path": "/out"},
        ),
        (ValueError("\n  odd\nmore"), "trainer_crashed", {"reason": "ValueError: odd"}),
    ],
)
def test_every_exception_has_a_code(error: Exception, code: str, params: dict[str, object]) -> None:
    assert describe(error, "cuda:0", "/out") == (code, params)
