"""`tunesmith models`: the base models there are, and what one of them is. Needs no server."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.options import JsonOption

if TYPE_CHECKING:
    from tunesmith.settings import Settings
    from tunesmith.wire import InspectedModel, ModelList, ModelVariant


def models(
    model: Annotated[
        str | None, typer.Argument(metavar="DIR_OR_NAME", help="Tell what this one is.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the base models that are known and those on this machine, or inspect one.

    The machine's are those in the data directory's models/. Needs no server, and asks no hub.
    """
    from tunesmith.cli.terminal import print_json
    from tunesmith.messages import user_language
    from tunesmith.model_list import inspect_model, list_models
    from tunesmith.settings import load_settings

    settings = load_settings()
    if model is None:
        found = list_models(settings, None, user_language())
        if json:
            print_json(found)
        else:
            _print_list(found, settings)
        return
    inspected = inspect_model(_meant(model), settings, None, user_language())
    if json:
        print_json(inspected)
    else:
        _print_inspection(inspected, settings)


def _meant(value: str) -> str:
    """A directory that is here is meant before a name of the models directory."""
    from tunesmith.cli.request import absolute

    here = Path(value).expanduser().is_dir() or value.startswith((".", "~"))
    return absolute(value) if here else value


def _print_list(found: "ModelList", settings: "Settings") -> None:
    from tunesmith.cli.terminal import is_terminal, notice, print_table, text

    heads = ("model", "parameters", "memory_need", "remark", "base_hub", "chat_hub")
    series = list(dict.fromkeys(entry.series for entry in found.catalogue))
    for group in [[each] for each in series] if is_terminal() else [series]:
        entries = [entry for entry in found.catalogue if entry.series in group]
        print_table(
            [text(f"head.{head}") for head in heads],
            (
                (
                    entry.name,
                    entry.size,
                    entry.memory,
                    entry.remark,
                    *(_variant(entry.variants, kind) for kind in ("base", "chat")),
                )
                for entry in entries
            ),
            right=(1, 2),
            folded=(3, 4, 5),
        )
    if not found.local:
        notice(text("no_models", path=settings.models_dir))
        return
    if is_terminal():
        notice(text("models_on_disk", path=settings.models_dir))
    heads = ("name", "family", "parameters", "dtype", "disk_size", "problems")
    print_table(
        [text(f"head.{head}") for head in heads],
        (
            (
                model.name,
                model.family_title,
                _parameters(model),
                model.dtype,
                _size(model.size_bytes),
                "; ".join(problem.message for problem in model.problems),
            )
            for model in found.local
        ),
        right=(2, 4),
        folded=(0, 5),
    )


def _print_inspection(model: "InspectedModel", settings: "Settings") -> None:
    from tunesmith.cli.terminal import notice, print_pairs, text

    if model.path is None:
        notice(text("not_on_disk", name=model.name, hub=settings.hub))
    template = model.chat_template
    family = text("is_adapter") if model.is_adapter else model.family_title
    print_pairs(
        [
            (text("head.name"), model.name),
            (text("head.path"), model.path),
            (text("head.catalogue"), model.catalogue),
            (text("head.family"), family),
            (text("head.architecture"), model.architecture or model.model_type),
            (text("head.parameters"), _parameters(model)),
            (text("head.layers"), model.layers),
            (text("head.hidden_size"), model.hidden_size),
            (text("head.vocabulary"), model.vocabulary),
            (text("head.max_positions"), model.max_positions),
            (text("head.dtype"), model.dtype),
            (
                text("head.quantization"),
                model.quantization and text("quantised", method=model.quantization),
            ),
            (text("head.disk_size"), _size(model.size_bytes)),
            (
                text("head.chat_template"),
                None if template is None else text("yes" if template else "no"),
            ),
            (text("head.prompt_format"), model.prompt_format),
            (text("head.stop_tokens"), " ".join(model.stop_tokens)),
            (text("head.lora_targets"), " ".join(model.lora_targets)),
            *((text("head.problems"), problem.message) for problem in model.problems),
        ]
    )
    if model.path is not None and not model.problems:
        notice(text("nothing_wrong"))


def _variant(variants: "list[ModelVariant]", kind: str) -> str | None:
    return next((each.base_model for each in variants if each.kind == kind), None)


def _parameters(model: "InspectedModel") -> str:
    from tunesmith.cli.terminal import is_terminal, text

    count = model.parameters
    if count is None:
        return ""
    if not is_terminal():
        shown = str(count)
    elif count >= 10**9:
        shown = f"{count / 1e9:.2f}B"
    else:
        shown = f"{count / 1e6:.1f}M"
    return text("estimated", value=shown) if model.parameters_estimated else shown


def _size(size: int | None) -> str:
    if size is None:
        return ""
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
