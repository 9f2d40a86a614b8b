"""The base models there are, for API and command line: the catalogue, and what is on the disk."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tunesmith import wire
from tunesmith.base_model import inspect, link_problem
from tunesmith.chatglm.config import problem_at
from tunesmith.errors import FieldProblem, InvalidInput, NotFound
from tunesmith.families import (
    CATALOGUE,
    FAMILIES,
    CatalogueEntry,
    Variant,
    find_entry,
    find_variant,
)
from tunesmith.hub import find_base_model
from tunesmith.messages import Language, sentence
from tunesmith.models_on_disk import OnDisk, models_on_disk
from tunesmith.paths import inside_roots
from tunesmith.settings import Settings

Roots = Sequence[Path] | None
"""Directories that may be looked at; None means all (a person at their own shell)."""


def list_models(settings: Settings, roots: Roots, language: Language) -> wire.ModelList:
    """Return the catalogue and the models directory. Opens no file outside `roots`."""
    there = [model for model in models_on_disk([settings.models_dir]) if _allowed(model, roots)]
    return wire.ModelList(
        catalogue=[_catalogue_model(entry, there, settings, language) for entry in CATALOGUE],
        local=[_inspected(model.path, model.name, settings, roots, language) for model in there],
    )


def directory_of(value: str, settings: Settings) -> Path:
    """Return the directory of a base model that is on the disk, for a server to read.

    Raises InvalidInput for one that is not, is outside the allowed roots, or holds links out of
    them.
    """
    found = find_base_model(value, settings)
    roots = [*settings.roots, settings.models_dir]
    path = inside_roots(found.path, "baseModel", roots)
    if not path.is_dir():
        raise InvalidInput(
            FieldProblem("baseModel", "field.base_model_missing", {"path": str(path)})
        )
    if problem := link_problem(path, roots, "baseModel"):
        raise InvalidInput(problem)
    return path


def inspect_model(
    value: str, settings: Settings, roots: Roots, language: Language
) -> wire.InspectedModel:
    """Return what is known about `value`: a path, a name below the models directory, a hub id.

    Asks no hub: of a model that is not on the disk it tells what the catalogue knows. Raises
    InvalidInput for a path outside `roots`, NotFound `model_not_found`.
    """
    path = _locate(value, settings, roots)
    if path is not None and path.is_dir():
        return _inspected(path, _name_of(path, settings), settings, roots, language)
    name, at, revision = value.partition("@")
    if path is None and (entry := find_entry(name)):
        return _known(entry, name, at + revision, settings)
    raise NotFound("model_not_found", name=value, models_dir=str(settings.models_dir))


def _locate(value: str, settings: Settings, roots: Roots) -> Path | None:
    """Return the directory that `value` means; None for a name of which nothing is there."""
    path = value if value.startswith(("/", "~")) else _below(value, settings)
    if path is None:
        return None
    allowed = [Path("/")] if roots is None else [*roots, settings.models_dir]
    return inside_roots(path, "path", allowed)


def _below(name: str, settings: Settings) -> str | None:
    if ".." in Path(name).parts:  # else the answer tells which directories are there
        return None
    named = settings.models_dir / name
    try:
        if named.is_dir():
            return str(named)
    except (OSError, ValueError):  # too long a name, or one that is none
        return None
    there = models_on_disk([settings.models_dir])
    if wanted := find_variant(name):
        found = _holding(wanted[1], there)
    else:
        found = next((model for model in there if model.name == name), None)
    return str(found.path) if found else None


def _allowed(model: OnDisk, roots: Roots) -> bool:
    if roots is None:
        return True
    try:
        inside_roots(str(model.path), "path", roots)
    except InvalidInput:
        return False
    return True


def _holding(variant: Variant, there: Iterable[OnDisk]) -> OnDisk | None:
    """Return the model on the disk whose name is an id of `variant`."""
    for model in there:
        named = find_variant(model.name)
        if named and named[1] is variant:
            return model
    return None


def _name_of(path: Path, settings: Settings) -> str:
    for model in models_on_disk([settings.models_dir]):
        if model.path.resolve() == path:
            return model.name
    return path.name


def _catalogue_model(
    entry: CatalogueEntry, there: Sequence[OnDisk], settings: Settings, language: Language
) -> wire.CatalogueModel:
    variants = []
    for variant in entry.variants:
        local = _holding(variant, there)
        variants.append(
            wire.ModelVariant(
                kind=variant.kind,
                huggingface=variant.huggingface,
                modelscope=variant.modelscope,
                gated=variant.gated,
                local=str(local.path) if local else None,
                base_model=str(local.path) if local else variant.repo(settings.hub),
            )
        )
    return wire.CatalogueModel(
        name=entry.name,
        series=entry.series,
        family=entry.family,
        size=entry.size,
        parameters=entry.parameters,
        memory=entry.memory,
        remark=entry.remark_zh if language == "zh" else entry.remark_en,
        specified=entry.specified,
        successors=list(entry.successors),
        variants=variants,
    )


def _inspected(
    path: Path, name: str, settings: Settings, roots: Roots, language: Language
) -> wire.InspectedModel:
    found = inspect(path, None if roots is None else [*roots, settings.models_dir])
    entry = find_entry(name.partition("@")[0])  # one revision of several has it in its name
    problems = list(found.problems)
    if found.model_type == "chatglm" and (refused := problem_at(path, "baseModel")):
        problems.append(refused)
    return wire.InspectedModel(
        name=name,
        path=str(path),
        base_model=str(path),
        catalogue=entry.name if entry else None,
        family=found.family.name,
        family_title=found.family.title,
        architecture=found.architecture,
        model_type=found.model_type,
        parameters=found.parameters,
        parameters_estimated=found.parameters_estimated,
        layers=found.layers,
        hidden_size=found.hidden_size,
        vocabulary=found.vocabulary,
        max_positions=found.max_positions,
        dtype=found.dtype,
        size_bytes=found.size_bytes,
        chat_template=found.chat_template,
        prompt_format=found.prompt_format,
        stop_tokens=list(found.stop_tokens),
        lora_targets=list(found.lora_targets),
        quantization=found.quantization,
        is_adapter=found.is_adapter,
        problems=[
            wire.ModelProblem(
                code=problem.code.removeprefix("field."),
                message=sentence(problem.code, language, problem.params),
            )
            for problem in problems
        ],
    )


def _known(
    entry: CatalogueEntry, name: str, revision: str, settings: Settings
) -> wire.InspectedModel:
    """Return what the catalogue knows of a model that is not on the disk."""
    wanted = find_variant(name)
    variant = wanted[1] if wanted else entry.variants[0]
    family = next(family for family in FAMILIES if family.name == entry.family)
    return wire.InspectedModel(
        name=variant.repo(settings.hub),
        path=None,
        base_model=variant.repo(settings.hub) + revision,
        catalogue=entry.name,
        family=family.name,
        family_title=family.title,
        parameters=entry.parameters,
        stop_tokens=list(family.stop_tokens),
        lora_targets=list(family.lora_targets),
        problems=[],
    )
