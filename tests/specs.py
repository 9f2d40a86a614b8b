"""Specs for tests."""

from tunesmith.spec import GpuConfig, Spec, TrainingArguments


def make_spec(**arguments) -> Spec:
    """Return a complete spec with the given training arguments; its paths do not exist."""
    return Spec(
        task_id=1,
        attempt=1,
        name="n",
        description=None,
        base_model="/m",
        dataset_path="/d",
        output_path="/o",
        training=TrainingArguments(**arguments),
        given=tuple(sorted(arguments)),
        gpu=GpuConfig(),
        devices=(),
    )
