"""Memory of a training step without a weight: fake tensors through the real step.

`plan_process` answers server and command line with it. The model is built on `meta` from its
config alone, with few layers; its weights become fake tensors, which have shapes and storages but
no bytes; then the trainer's own forward and backward pass run under a dispatch mode that counts the
storages alive. Depth adds evenly where all layers are alike, so that two depths tell all.
"""

import re
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from transformers import AutoConfig, AutoModelForCausalLM

from tunesmith.errors import FieldProblem, InvalidInput
from tunesmith.memory_plan.architecture import left_to_transformers
from tunesmith.memory_plan.formula import quantized_bytes
from tunesmith.memory_plan.records import MemoryPlan, Workload
from tunesmith.prompt.encoded import EncodedSamples
from tunesmith.spec import TrainingArguments
from tunesmith.trainer.failures import short_reason
from tunesmith.trainer.forward import Forward
from tunesmith.trainer.kernels.cross_entropy import NUMBERS_AT_ONCE
from tunesmith.trainer.model import DTYPES, prepare_for_training, quantization
from tunesmith.trainer.weights import trained_parameters

DEPTHS = (2, 4)
"""Layers of the two models that are traced."""
_LAYER = re.compile(r"\.(?:layers|h)\.(\d+)\.")


@dataclass(frozen=True)
class Traced:
    """Bytes and numbers of one traced model."""

    parameters: int
    trainable: int
    weights: int
    gradients: int
    optimizer: int
    forward: int
    """The highest of all else until the loss is known."""
    backward: int
    """The highest of all else, gradients excluded, from there on."""
    top_peak: int
    """The highest until the layer below the top one is differentiated."""
    bottom_peak: int
    """The highest since the bottom layer is differentiated."""


def trace(config: Mapping[str, Any], workload: Workload) -> MemoryPlan:
    """Return what training takes on one device; `config` is transformers' own (never `chatglm`).

    Raises InvalidInput for a config that is not to be built or traced.
    """
    plain = replace(workload, kernels="plain")
    refused: Exception | None = None
    for way in (plain,) if left_to_transformers(config) else (workload, plain):
        try:
            return _whole(config, way)
        except Exception as error:  # of transformers or peft: they raise all kinds
            refused = error
    assert refused is not None
    reason = {"model_type": str(config.get("model_type")), "reason": short_reason(refused)}
    raise InvalidInput(FieldProblem("baseModel", "field.no_memory_plan", reason)) from refused


def _whole(config: Mapping[str, Any], workload: Workload) -> MemoryPlan:
    depth = _values(config).num_hidden_layers
    if depth <= DEPTHS[1]:
        return _plan(trace_at(config, workload, depth), workload)
    few, more = (trace_at(config, workload, layers) for layers in DEPTHS)
    each = (depth - DEPTHS[0]) / (DEPTHS[1] - DEPTHS[0])
    found = Traced(
        **{
            field.name: round(low + (getattr(more, field.name) - low) * each)
            for field in fields(Traced)
            if (low := getattr(few, field.name)) is not None
        }
    )
    if found.parameters != _count(config):  # its layers are of several kinds
        found = trace_at(config, workload, depth)
    return _plan(found, workload)


def _plan(found: Traced, workload: Workload) -> MemoryPlan:
    return MemoryPlan(
        mode="trace",
        weights=found.weights,
        gradients=found.gradients,
        optimizer=found.optimizer,
        activations=max(found.forward, found.backward),
        # Each of the two is linear in the depth; which is the higher one is not.
        peak=max(found.top_peak, found.bottom_peak),
        overhead=workload.overhead,
        parameters=found.parameters,
        trainable_parameters=found.trainable,
    )


def trace_at(config: Mapping[str, Any], workload: Workload, layers: int) -> Traced:
    """Trace a model with the shapes of `config` and `layers` layers."""
    tuned, parameters = _build(_with_layers(config, layers), workload)
    with FakeTensorMode(allow_non_fake_inputs=True), Storages() as storages:
        _make_fake(tuned)
        forward = forward_of(tuned, workload)
        weights = storages.now
        trained = trained_parameters(tuned)
        states = [torch.empty_like(weight) for weight in trained for _ in range(2)]
        optimizer = storages.now - weights
        if workload.gradient_accumulation_steps > 1:
            for weight in trained:
                weight.grad = torch.empty_like(weight)
        storages.summed = tuned.get_output_embeddings().weight.shape
        watch = _Watch(storages, tuned, layers)
        micro_batch(forward, workload, watch.next_stage)
        gradients = sum(weight.grad.nbytes for weight in trained if weight.grad is not None)
        del states
    return Traced(
        parameters=parameters,
        trainable=sum(weight.numel() for weight in trained),
        weights=weights,
        gradients=gradients,
        optimizer=optimizer,
        **watch.highest(),
    )


def forward_of(model: Any, workload: Workload) -> Forward:
    # Whether a way computes the same is tried with numbers, which fake tensors lack.
    return Forward(
        model,
        0,
        autocast=workload.autocast,
        kernels=workload.kernels,
        verify=False,
        head_numbers=NUMBERS_AT_ONCE[workload.device_type],
    )


def micro_batch(
    forward: Forward, workload: Workload, loss_known: Callable[[], None] = lambda: None
) -> None:
    """Differentiate the largest micro-batch as `Training` does: the one call into its step."""
    samples = largest_samples(workload)
    for batch in forward.batches(samples, np.arange(len(samples)), workload.tokens):
        loss = forward.loss_sum(batch) / workload.labels
        loss_known()
        torch.autograd.backward(loss)


def largest_samples(workload: Workload) -> EncodedSamples:
    """Return samples as long as is allowed, as many as a micro-batch has, ending in answers."""
    count, length = workload.per_device_train_batch_size, workload.max_seq_length
    learnt = np.zeros((count, length), dtype=np.bool_)
    learnt[:, length - max(1, round((length - 1) * workload.label_share)) :] = True
    return EncodedSamples(
        # Samples that begin alike would share what they have in common.
        np.repeat(np.arange(count, dtype=np.int32), length),
        np.arange(0, count * length + 1, length),
        learnt.reshape(-1),
    )


class Storages(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages that are alive, of tensors made while it is on."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak = 0
        self.gradients = 0
        """Of them, what has become a gradient."""
        self.rest_peak = 0
        """The highest without gradients."""
        self.summed: torch.Size | None = None
        """Shape of a tied weight, whose gradients from embedding and head autograd adds up."""
        self._alive: dict[int, int] = {}

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        output = function(*args, **(kwargs or {}))
        if function is torch.ops.aten.add.Tensor and output.shape == self.summed:
            # It does so in the first one's place, except while a dispatch mode like this is on.
            self._empty(args[0])
        for value in (output,) if isinstance(output, torch.Tensor) else tree_iter(output):
            if isinstance(value, torch.Tensor):
                self._count(value)
        return output

    def restart(self) -> None:
        """Begin to look for the highest anew."""
        self.peak, self.rest_peak = self.now, self.now - self.gradients

    def _count(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._alive:
            return
        size = storage.nbytes()
        self._alive[key] = size
        self.now += size
        self.peak = max(self.peak, self.now)
        self.rest_peak = max(self.rest_peak, self.now - self.gradients)
        weakref.finalize(storage, self._gone, key)

    def _empty(self, tensor: torch.Tensor) -> None:
        key = tensor.untyped_storage()._cdata
        self.now -= self._alive[key]
        self._alive[key] = 0

    def _gone(self, key: int) -> None:
        self.now -= self._alive.pop(key)


class _Watch:
    """Splits a step into stages: forward; top layers; those between; from the bottom one on."""

    def __init__(self, storages: Storages, model: Any, layers: int) -> None:
        self._storages = storages
        self._layers = layers
        self._held = storages.now
        self._ended: list[tuple[int, int]] = []
        """Of each stage that is over, the highest and the highest without gradients."""
        storages.gradients = sum(
            weight.grad.nbytes for weight in trained_parameters(model) if weight.grad is not None
        )
        self._before = storages.gradients
        storages.restart()
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                found = _LAYER.search(name)
                layer = int(found[1]) if found else None
                weight.register_post_accumulate_grad_hook(partial(self._seen, layer))

    def highest(self) -> dict[str, int]:
        """Return `forward`, `backward`, `top_peak` and `bottom_peak` as in `Traced`."""
        self.next_stage()
        peaks, rests = zip(*self._ended, strict=True)
        held = self._held - self._before
        return {
            "forward": rests[0] - held,
            "backward": max(rests[1:]) - held,
            "top_peak": max(peaks[:2]),
            "bottom_peak": peaks[-1],
        }

    def next_stage(self) -> None:
        self._ended.append((self._storages.peak, self._storages.rest_peak))
        self._storages.restart()

    def _seen(self, layer: int | None, weight: torch.Tensor) -> None:
        if self._before == 0:
            assert weight.grad is not None
            self._storages.gradients += weight.grad.nbytes
        if layer is None:
            return
        if layer <= self._layers - 2 and len(self._ended) == 1:
            self.next_stage()
        if layer == 0 and len(self._ended) == 2:
            self.next_stage()


def _with_layers(config: Mapping[str, Any], layers: int) -> dict[str, Any]:
    named = _values(config).attribute_map.get("num_hidden_layers", "num_hidden_layers")
    shallow = {**config, named: layers, "use_cache": False}
    for name in shallow:
        if name.endswith("layer_types") and shallow[name]:
            shallow[name] = shallow[name][:layers]
    if "max_window_layers" in shallow:
        shallow["max_window_layers"] = min(layers, shallow["max_window_layers"])
    # Quantised files are not trained on; what their method does to a module is not memory's.
    shallow.pop("quantization_config", None)
    return shallow


def _values(config: Mapping[str, Any]) -> Any:
    return AutoConfig.for_model(**config)


def _count(config: Mapping[str, Any]) -> int:
    """Return how many parameters the whole model has."""
    with torch.device("meta"):
        base = AutoModelForCausalLM.from_config(_values(config))
    return sum(weight.numel() for weight in base.parameters())


def _build(config: dict[str, Any], workload: Workload) -> tuple[Any, int]:
    """Return the model to train, on `meta`, and how many parameters its base model has."""
    dtype = torch.float32 if workload.method == "full" else DTYPES[workload.dtype]
    values = _values(config)
    with torch.device("meta"):
        base = AutoModelForCausalLM.from_config(values, dtype=dtype)
        parameters = sum(weight.numel() for weight in base.parameters())
        if workload.method == "qlora":
            _quantize(base, workload.quantization_bits, dtype, workload.device_type)
        tuned = prepare_for_training(base, _arguments(workload), workload.gradient_checkpointing)
    tuned.train()
    return tuned, parameters


def _arguments(workload: Workload) -> TrainingArguments:
    return TrainingArguments(
        method=workload.method,
        quantization_bits=workload.quantization_bits,
        lora_r=workload.lora_r,
        lora_target_modules=workload.lora_target_modules,
        lora_dropout=workload.lora_dropout,
        use_dora=workload.use_dora,
    )


def _quantize(base: Any, bits: int, dtype: torch.dtype, device_type: str) -> None:
    """Put twins in the place of the linear layers, that hold and unpack as many bytes."""
    # bitsandbytes takes long to import, and most plans do without.
    from transformers.integrations import replace_with_bnb_linear

    from tunesmith.trainer.quantized import compute_with

    head = [name for name, module in base.named_modules() if module is base.get_output_embeddings()]
    replace_with_bnb_linear(base, head, quantization(bits, dtype))
    setattr(base, f"is_loaded_in_{bits}bit", True)
    for layer in base.modules():
        if not (hasattr(layer, "weight") and type(layer.weight).__module__.startswith("bitsandb")):
            continue
        shape = layer.weight.shape
        held = quantized_bytes(shape.numel(), shape[0], bits, dtype.itemsize)
        layer.weight.data = torch.empty(held, dtype=torch.uint8)
        layer.weight.requires_grad_(False)
        if layer.bias is not None:
            # Made in fp32, in which all that follows would be computed; files are read as `dtype`.
            layer.bias.data = layer.bias.data.to(dtype)
        numbers = partial(torch.empty, shape, dtype=dtype)
        compute_with(layer, numbers)
        # Of layers that have these two peft asks for the numbers, for DoRA; not a second parameter.
        layer.__dict__["W_q"], layer.dequantize = layer.weight, numbers
        if device_type == "cuda" and bits == 8:  # there LLM.int8 multiplies by itself
            del layer.dense_weight


def _make_fake(model: torch.nn.Module) -> None:
    """Put fake tensors in the place of weights and buffers; what is shared stays shared."""
    made: dict[int, torch.Tensor] = {}
    for module in model.modules():
        for own in (module._parameters, module._buffers):
            for name, tensor in own.items():
                if tensor is None:
                    continue
                if id(tensor) not in made:
                    fake = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
                    if own is module._parameters:
                        fake = torch.nn.Parameter(fake, requires_grad=tensor.requires_grad)
                    made[id(tensor)] = fake
                own[name] = made[id(tensor)]  # type: ignore[assignment]
