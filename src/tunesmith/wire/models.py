"""The base models there are."""

from tunesmith.wire.answer import Answer


class ModelVariant(Answer):
    """A published set of weights of a base model in the catalogue."""

    kind: str
    """base or chat"""
    huggingface: str
    modelscope: str
    gated: bool
    """Hugging Face asks for an accepted licence and a token."""
    local: str | None
    """The directory that holds it, if one does."""
    base_model: str
    """What a task takes: that directory, else the id on the server's hub."""


class CatalogueModel(Answer):
    """A base model of the specification, or a usual successor of one."""

    name: str
    series: str
    family: str
    size: str
    parameters: int
    memory: str | None
    """GPU memory that the specification states; null for a model that it does not name."""
    remark: str
    specified: bool
    successors: list[str]
    """Names of newer models of this list."""
    variants: list[ModelVariant]


class ModelProblem(Answer):
    """What is wrong with a base model's directory."""

    code: str
    message: str


class InspectedModel(Answer):
    """What a base model tells of itself; null where it does not."""

    name: str
    path: str | None
    """Its directory; null: it is not on the disk, and the facts are the catalogue's."""
    base_model: str
    """What a task takes."""
    catalogue: str | None
    """Its name in the catalogue."""
    family: str
    family_title: str
    architecture: str | None = None
    model_type: str | None = None
    parameters: int | None
    parameters_estimated: bool = False
    layers: int | None = None
    hidden_size: int | None = None
    vocabulary: int | None = None
    max_positions: int | None = None
    dtype: str | None = None
    size_bytes: int | None = None
    chat_template: bool | None = None
    prompt_format: str | None = None
    """The family's, "plain", or "template" for the tokenizer's own chat template."""
    stop_tokens: list[str]
    lora_targets: list[str]
    quantization: str | None = None
    is_adapter: bool = False
    problems: list[ModelProblem]


class ModelList(Answer):
    """The base models there are: the catalogue, and what lies in the models directory."""

    catalogue: list[CatalogueModel]
    local: list[InspectedModel]
