"""A sample as a model will see it."""

from tunesmith.wire.answer import Answer


class PreviewToken(Answer):
    """A token of a sample."""

    id: int
    text: str
    """"" for a part of a character that ends with a later token."""
    learnt: bool
    control: bool


class Preview(Answer):
    """A sample as a model will see it."""

    text: str
    family: str
    prompt_format: str
    """The family's, "plain", or "template" for the tokenizer's own chat template."""
    tokens: list[PreviewToken]
    learnt_tokens: int
    total_tokens: int
    """Before the sample was cut."""
    truncated: bool
