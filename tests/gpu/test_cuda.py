"""The trainer on a real GPU. Skipped where there is none; run by hand on a machine with one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
if not torch.cuda.is_available():
    pytest.skip("no GPU", allow_module_level=True)

import transformers  # noqa: E402

from tests.integration.runs import ROWS, Run  # noqa: E402
from tests.specs import make_spec  # noqa: E402
from tests.tiny_models import make_tiny_model  # noqa: E402
from tests.unit.trainer.kernels.test_models import FAMILIES, SHAPE  # noqa: E402
from tests.unit.trainer.test_batches import with_common_beginning  # noqa: E402
from tunesmith import events  # noqa: E402
from tunesmith.trainer import model  # noqa: E402
from tunesmith.trainer.forward import Forward  # noqa: E402
from tunesmith.trainer.kernels.attention import (  # noqa: E402
    packed_attention,
    plain_packed_attention,
)
from tunesmith.trainer.kernels.sequences import Sequences  # noqa: E402

CUDA = torch.device("cuda", 0)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.mark.parametrize("window", [None, 20])
@pytest.mark.parametrize("sequences", [Sequences((50, 1, 90)), Sequences((30, 47), prefix=64)])
@pytest.mark.parametrize("key_heads", [2, 4])
def test_flash_attention_is_attention(
    sequences: Sequences, key_heads: int, window: int | None
) -> None:
    torch.manual_seed(0)
    given = [
        torch.randn(1, heads, sequences.tokens, 64, device=CUDA, dtype=torch.bfloat16)
        for heads in (4, key_heads, key_heads)
    ]
    weights = torch.randn(1, sequences.tokens, 4, 64, device=CUDA)
    results = []
    for function, dtype in (
        (packed_attention, torch.bfloat16),
        (plain_packed_attention, torch.float64),
    ):
        inputs = [each.detach().to(dtype).requires_grad_() for each in given]
        output = function(*inputs, sequences, 0.125, window).double()
        gradients = torch.autograd.grad((output * weights.double()).sum(), inputs)
        results.append([output, *(each.double() for each in gradients)])
    for ours, exact in zip(*results, strict=True):
        assert float((ours - exact).norm() / exact.norm()) < 1e-2


def tuned(family: str, dtype: Any, **others: Any) -> Any:
    torch.manual_seed(0)
    shape = SHAPE | {"head_dim": 16, "hidden_size": 64} | FAMILIES[family]
    base = getattr(transformers, f"{family}ForCausalLM")(
        getattr(transformers, f"{family}Config")(**shape)
    ).to(CUDA, dtype)
    base.requires_grad_(False)
    made = model.add_lora(base, make_spec(lora_dropout=0, lora_r=4, **others).training)
    for weight in made.parameters():
        if weight.requires_grad:
            # The same numbers whatever the dtype.
            weight.data = torch.randn(weight.shape).to(weight) * 0.1
    return made.train()


def gradients(family: str, dtype: Any, kernels: Any) -> tuple[str, torch.Tensor]:
    samples, every = with_common_beginning(9, 3, 21), np.array([0, 1, 2])
    forward = Forward(tuned(family, dtype), 0, kernels=kernels)
    loss = forward.loss_sum(forward.batch(samples, every))
    loss.backward()  # type: ignore[no-untyped-call]
    weights = [weight.grad for weight in forward.model.parameters() if weight.requires_grad]
    return forward.way, torch.cat([each.flatten().double() for each in weights])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", FAMILIES)
def test_kernels_are_as_exact_as_the_plain_model(family: str, dtype: Any) -> None:
    _, exact = gradients(family, torch.float64, "plain")
    _, plain = gradients(family, dtype, "plain")
    way, ours = gradients(family, dtype, "auto")
    assert way == "layers"
    error, limit = ((each - exact).norm() / exact.norm() for each in (ours, plain))
    print(family, dtype, f"relative gradient error {error:.2e}, plain {limit:.2e}")
    assert float(error) < max(2 * float(limit), 2e-5)


METHODS: dict[str, dict[str, Any]] = {
    "lora": {"method": "lora", "neftune_noise_alpha": 5.0},
    "dora": {"method": "lora", "use_dora": True},
    "qlora4": {"method": "qlora", "quantization_bits": 4},
    "qlora8": {"method": "qlora", "quantization_bits": 8},
    "full": {"method": "full", "learning_rate": 1e-3},
    "checkpointed": {"method": "lora", "gradient_checkpointing": True},
}


@pytest.mark.parametrize("method", METHODS)
def test_a_method_trains_on_the_gpu_and_resumes(tiny: Path, tmp_path: Path, method: str) -> None:
    arguments = {
        "learning_rate": 1e-2,
        "num_train_epochs": 4,
        "logging_steps": 1,
        "save_steps": 5,
        "save_total_limit": 9,
    } | METHODS[method]
    whole = Run(tmp_path / "whole", tiny).start(valid=ROWS[:2], devices=(0,), **arguments)
    assert whole.wait() == 0, whole.log
    (plan,) = whole.of(events.Planned)
    assert plan.device.startswith("cuda:0") and plan.packed
    losses = {each.step: each.loss for each in whole.of(events.Metrics)}
    assert losses[max(losses)] < losses[1]
    path = whole.output / "checkpoint-5"
    again = Run(tmp_path / "again", tiny).start(
        valid=ROWS[:2], devices=(0,), **arguments, resume_from_checkpoint=str(path)
    )
    assert again.wait() == 0, again.log
    resumed = {each.step: each.loss for each in again.of(events.Metrics)}
    assert min(resumed) == 6
    for step, loss in resumed.items():
        assert loss == pytest.approx(losses[step], rel=1e-6 if plan.way == "layers" else 2e-2)
    print(method, plan.way, losses, {step: losses[step] - loss for step, loss in resumed.items()})


def test_memory_that_runs_out_halves_the_batch(tiny: Path, tmp_path: Path) -> None:
    rows = [{"instruction": "Say it", "input": "", "output": "small hammer " * 150}] * 512
    run = Run(tmp_path / "o", tiny).start(
        rows=rows,
        devices=(0,),
        gpu={"max_memory_gib": 0.3},
        per_device_train_batch_size=256,
        max_seq_length=512,
        num_train_epochs=1,
        logging_steps=1,
    )
    assert run.wait() == 0, run.log
    warned = [each for each in run.of(events.Warned) if each.code == "smaller_batches"]
    assert warned, run.log
    (finished,) = run.of(events.Finished)
    assert 0 < finished.peak_memory_bytes <= 0.31 * 2**30
    print([each.params for each in warned], finished.peak_memory_bytes)
