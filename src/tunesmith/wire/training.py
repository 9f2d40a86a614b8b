"""Training arguments, as a form needs them."""

from typing import Any, Literal

from tunesmith.wire.answer import Answer


class Argument(Answer):
    """A training argument, as a form needs it."""

    name: str
    type: str
    default: Any
    nullable: bool
    choices: list[Any] | None
    minimum: float | None
    minimum_exclusive: bool
    maximum: float | None
    maximum_exclusive: bool
    recommended: list[float] | None
    recommended_by_method: dict[str, list[float]]
    """The range for a `method` for which it is another one."""
    group: str
    section: Literal["basic", "advanced"]
    """Whether a form shows it at once."""
    unit: str
    """In the reader's language; "" for none."""
    aliases: list[str]
    label_zh: str
    label_en: str
    hint_zh: str
    hint_en: str
    advice_zh: str
    """What the specification advises; "" where it says nothing."""
    advice_en: str


class TrainingPreset(Answer):
    """Training arguments that belong together, to begin with."""

    key: Literal["quick", "lora", "qlora", "full"]
    title: str
    description: str
    training_args: dict[str, Any]
