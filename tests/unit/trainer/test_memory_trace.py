"""The trace by fake tensors against the same step with real ones."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.specs import make_spec
from tunesmith.errors import InvalidInput
from tunesmith.memory_plan.architecture import OWN_LAYERS, architecture_of
from tunesmith.memory_plan.formula import LOGITS_AT_ONCE, ROWS_AT_LEAST, knows, plan
from tunesmith.memory_plan.kinds import KINDS
from tunesmith.memory_plan.records import Workload
from tunesmith.trainer.forward import Forward
from tunesmith.trainer.kernels import cross_entropy
from tunesmith.trainer.kernels.layers import KNOWN_LAYERS
from tunesmith.trainer.memory_trace import (
    Storages,
    forward_of,
    largest_samples,
    micro_batch,
    trace,
    trace_at,
)
from tunesmith.trainer.model import prepare_for_training
from tunesmith.trainer.weights import trained_parameters

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "num_hidden_layers": 6,
    "hidden_size": 128,
    "intermediate_size": 344,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 1000,
    "tie_word_embeddings": False,
    "max_position_embeddings": 512,
}
WORK = Workload(per_device_train_batch_size=2, max_seq_length=128, dtype="fp32", device_type="cpu")
CASES = {
    "lora": WORK,
    "checkpointed": replace(WORK, gradient_checkpointing=True),
    "dora": replace(WORK, use_dora=True),
    "full": replace(WORK, method="full"),
}


def measured(work: Workload, layers: int) -> tuple[int, int]:
    """Return weights and peak of a step with real tensors, by the same counting."""
    with Storages() as storages:
        base = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(**CONFIG | {"num_hidden_layers": layers, "use_cache": False}),
            dtype=torch.float32,
        )
        arguments = make_spec(method=work.method, use_dora=work.use_dora).training
        tuned = prepare_for_training(base, arguments, work.gradient_checkpointing).train()
        forward = forward_of(tuned, work)
        weights = storages.now
        states = [torch.empty_like(each) for each in trained_parameters(tuned) for _ in range(2)]
        storages.restart()
        micro_batch(forward, work)
        del states
        return weights, storages.peak


@pytest.mark.parametrize("case", CASES)
def test_a_trace_counts_what_real_tensors_take(case: str) -> None:
    work = CASES[case]
    weights, peak = measured(work, 2)
    traced = trace_at(CONFIG, work, 2)
    assert traced.weights == pytest.approx(weights, rel=0.01)
    assert max(traced.top_peak, traced.bottom_peak) == pytest.approx(peak, rel=0.02)


@pytest.mark.parametrize("kernels", ["auto", "plain"])
def test_gradients_of_a_tied_weight_are_added_in_place(kernels: Any) -> None:
    """At the step's end: the gradients, and by transformers the embeddings' own until it is added
    to the head's.

    `measured` cannot tell: while a dispatch mode is on, autograd adds real tensors out of place.
    """
    config = {**CONFIG, "tie_word_embeddings": True, "vocab_size": 8000}
    traced = trace_at(config, replace(WORK, method="full", kernels=kernels), 2)
    matrix = 4 * 8000 * CONFIG["hidden_size"]
    least = traced.weights + traced.optimizer + traced.gradients
    least += matrix if kernels == "plain" else 0
    assert least <= traced.bottom_peak < least + 0.5 * matrix


@pytest.mark.parametrize("case", CASES)
def test_two_depths_tell_every_other(case: str) -> None:
    work = CASES[case]
    whole = trace_at(CONFIG, work, 6)
    assert trace(CONFIG, work).peak == pytest.approx(
        max(whole.top_peak, whole.bottom_peak), rel=0.01
    )


@pytest.mark.parametrize("use_dora", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
def test_quantised_weights_are_planned_without_any(bits: int, use_dora: bool) -> None:
    plain_work = replace(WORK, use_dora=use_dora)
    work = replace(plain_work, method="qlora", quantization_bits=bits)
    found, plain = trace(CONFIG, work), trace(CONFIG, plain_work)
    assert found.weights < plain.weights
    assert found.trainable_parameters == plain.trainable_parameters


SMALL = {name: value for name, value in CONFIG.items() if name != "model_type"}
LATENT = {
    "num_key_value_heads": 4,
    "moe_intermediate_size": 64,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 3,
    "q_lora_rank": 32,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
}


def built(model_type: str, **more: Any) -> dict[str, Any]:
    values: dict[str, Any] = AutoConfig.for_model(model_type, **SMALL | more).to_dict()
    return values


@pytest.mark.parametrize(
    "config",
    [
        built("gemma2"),
        built("granite", logits_scaling=8.0),
        built("cohere"),
        built("llama", attention_dropout=0.1),
    ],
    ids=lambda config: config["model_type"],
)
def test_what_a_run_leaves_to_transformers_is_traced_so(config: dict[str, Any]) -> None:
    found = trace(config, WORK)
    assert found == trace(config, replace(WORK, kernels="plain"))
    assert found.peak > trace(CONFIG, WORK).activations


def test_what_leaves_nothing_to_transformers_goes_by_kernels() -> None:
    config = built("granite", logits_scaling=1.0)
    assert trace(config, WORK).peak < trace(config, replace(WORK, kernels="plain")).peak


@pytest.mark.filterwarnings("ignore:target_parameters", "ignore:fan_in", "ignore:The following")
@pytest.mark.parametrize("model_type", ["deepseek_v2", "deepseek_v3"])
def test_layers_of_several_kinds_are_traced_whole(model_type: str) -> None:
    config = built(model_type, **LATENT)
    config.pop("head_dim", None)
    work = replace(WORK, lora_dropout=0.0, dtype="bf16")
    with torch.device("meta"):
        base = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    # Whether kernels compute this attention or refuse it.
    assert trace(config, work).parameters == sum(each.numel() for each in base.parameters())
    plain = replace(work, kernels="plain")
    whole = trace_at(config, plain, 6)
    assert trace(config, plain).peak == max(whole.top_peak, whole.bottom_peak)


@pytest.mark.parametrize("error", [TypeError, ValueError, NotImplementedError, RuntimeError])
def test_a_way_that_fails_is_left_to_transformers(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = trace(CONFIG, replace(WORK, kernels="plain"))
    by_kernels = Forward.loss_sum

    def refusing(forward: Forward, batch: Any) -> torch.Tensor:
        if forward.by_kernels:
            raise error("attention of another kind")
        return by_kernels(forward, batch)

    monkeypatch.setattr(Forward, "loss_sum", refusing)
    assert trace(CONFIG, WORK) == plain


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_model_of_few_layers_is_traced_whole(layers: int) -> None:
    config = built("qwen3", num_hidden_layers=layers, layer_types=["full_attention"] * layers)
    whole = trace_at(config, WORK, layers)
    assert trace(config, WORK).peak == max(whole.top_peak, whole.bottom_peak)


@pytest.mark.filterwarnings("ignore:target_parameters", "ignore:fan_in", "ignore:The following")
def test_layers_may_have_another_name() -> None:
    config = AutoConfig.for_model("gpt2", n_layer=6, n_embd=128, n_head=4, attn_pdrop=0.0).to_dict()
    whole = trace_at(config, WORK, 6)
    assert trace(config, WORK).peak == pytest.approx(
        max(whole.top_peak, whole.bottom_peak), rel=0.01
    )


@pytest.mark.filterwarnings("ignore:target_parameters", "ignore:fan_in", "ignore:The following")
@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "no such kind"},
        {},
        CONFIG | {"hidden_size": 127},
        # peft adapts no experts while numbers are dropped out.
        built("deepseek_v3", **LATENT),
    ],
)
def test_what_cannot_be_traced_is_refused_with_a_reason(config: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        trace(config, WORK)
    [problem] = refused.value.problems
    assert (problem.field, problem.code) == ("baseModel", "field.no_memory_plan")
    assert problem.params["reason"]


FORMULA_CASES = {
    **CASES,
    "qlora": replace(WORK, method="qlora", dtype="bf16", device_type="cuda"),
    "plain": replace(WORK, kernels="plain"),
    "few labels": replace(WORK, label_share=0.3),
    "no dropout": replace(WORK, lora_dropout=0.0),
    "attention": replace(WORK, lora_target_modules=("q_proj", "v_proj")),
    "long": replace(WORK, max_seq_length=4096),
}


@pytest.mark.parametrize("case", FORMULA_CASES)
def test_the_formula_is_near_the_trace(case: str) -> None:
    config = CONFIG | {"hidden_size": 1024, "intermediate_size": 2752, "num_attention_heads": 16}
    config |= {"num_key_value_heads": 4, "head_dim": 64, "vocab_size": 32000}
    work = FORMULA_CASES[case]
    exact, quick = trace(config, work), plan(config, work)
    assert quick.parameters == exact.parameters
    assert quick.trainable_parameters == exact.trainable_parameters
    assert quick.weights == pytest.approx(exact.weights, rel=0.02)
    assert quick.peak == pytest.approx(exact.peak, rel=0.05)
    assert quick.activations == pytest.approx(exact.activations, rel=0.15)


def test_the_formula_knows_the_kernels() -> None:
    names = {f"{name}DecoderLayer".lower() for name in OWN_LAYERS}
    assert names == {name.lower() for name in KNOWN_LAYERS}
    assert (LOGITS_AT_ONCE, ROWS_AT_LEAST) == (
        cross_entropy.NUMBERS_AT_ONCE,
        cross_entropy.ROWS_AT_LEAST,
    )


def test_samples_that_begin_alike_are_not_planned_for() -> None:
    """Ones that differ take most: what is common to all is computed once."""
    samples = largest_samples(replace(WORK, label_share=0.3))
    assert len(set(samples.tokens[samples.starts[:-1]].tolist())) == len(samples)


def test_one_chunk_of_logits_is_held_at_a_time() -> None:
    work = replace(WORK, max_seq_length=2048, label_share=1.0)
    config = CONFIG | {"vocab_size": 64000}
    chunk = 4 * cross_entropy.NUMBERS_AT_ONCE["cpu"]
    assert chunk < trace_at(config, work, 2).forward < 1.5 * chunk


# What transformers takes for granted may not fit these: a padding token beyond the vocabulary.
SIZES = {
    "hidden_size": 1024,
    "intermediate_size": 2752,
    "num_hidden_layers": 6,
    "num_attention_heads": 16,
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
    "pad_token_id": None,
}
SHORT = replace(WORK, max_seq_length=512, dtype="bf16", device_type="cuda")


def kind_config(model_type: str, **more: Any) -> Any:
    own = {} if "query_key_value" in KINDS[model_type].attention else {"num_key_value_heads": 4}
    return AutoConfig.for_model(model_type, **SIZES | own | more)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("model_type", KINDS)
def test_kinds_of_the_formula_have_as_many_parameters(model_type: str, tied: bool) -> None:
    config = kind_config(model_type, tie_word_embeddings=tied)
    with torch.device("meta"):
        base = AutoModelForCausalLM.from_config(config)
    real = sum(weight.numel() for weight in base.parameters())
    linears = {
        name.rpartition(".")[2]: (module.in_features, module.out_features)
        for name, module in base.named_modules()
        if ".layers.0." in name and isinstance(module, torch.nn.Linear)
    }
    # Files hold all values, or those alone that are no defaults.
    for said in (config.to_dict(), config.to_diff_dict()):
        found = architecture_of(said)
        assert found.parameters == pytest.approx(real, rel=0.002)
        assert found.linears == linears


@pytest.mark.parametrize("model_type", KINDS)
def test_a_config_that_says_little_means_what_transformers_takes_it_for(model_type: str) -> None:
    """Published files leave defaults out."""
    named = {name: SIZES[name] for name in SIZES if name != "pad_token_id"}
    values = AutoConfig.for_model(model_type, **named)
    found = architecture_of({"model_type": model_type, **named})
    width = getattr(values, "head_dim", None) or 1024 // 16
    groups = getattr(values, "num_key_value_heads", None) or 16
    assert found.tied == bool(values.tie_word_embeddings)
    assert (found.query, found.key_value) == (16 * width, groups * width)


@pytest.mark.parametrize("method", ["lora", "full", "qlora"])
@pytest.mark.parametrize("model_type", KINDS)
def test_kinds_of_the_formula_are_planned_as_they_are_traced(model_type: str, method: Any) -> None:
    work = replace(SHORT, method=method)
    config = kind_config(model_type).to_dict()
    exact, quick = trace(config, work), plan(config, work)
    assert quick.trainable_parameters == pytest.approx(exact.trainable_parameters, rel=0.002)
    assert quick.weights == pytest.approx(exact.weights, rel=0.002)
    assert quick.peak == pytest.approx(exact.peak, rel=0.08)


@pytest.mark.parametrize(
    "config",
    [
        built("gemma2"),
        built("deepseek_v3", **LATENT),
        built("qwen3_moe", num_experts=4),
        built("mixtral"),
        CONFIG | {"attention_dropout": 0.1},
        {**CONFIG, "model_type": "not known yet"},
    ],
    ids=lambda config: config["model_type"],
)
def test_what_the_formula_does_not_know_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        plan(config, WORK)
    assert [each.code for each in refused.value.problems] == ["field.formula_not_known"]
    assert not knows(config)


@pytest.mark.parametrize("model_type", ["glm4", "glm"])
def test_biases_of_quantised_layers_are_as_exact_as_the_rest(model_type: str) -> None:
    work = replace(SHORT, method="qlora", kernels="plain")
    biased, plain = (
        trace(kind_config(model_type, attention_bias=bias).to_dict(), work)
        for bias in (True, False)
    )
    assert biased.peak == pytest.approx(plain.peak, rel=0.01)
