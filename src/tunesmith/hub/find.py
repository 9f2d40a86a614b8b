"""What `baseModel` means: a path, a directory of the models directory, or a model of a hub."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tunesmith.errors import FieldProblem, InvalidInput
from tunesmith.families.catalogue import find_entry, find_variant
from tunesmith.hub import marker
from tunesmith.hub.access import Source, access_of
from tunesmith.hub.listing import Listing, ask_hub
from tunesmith.hub.reference import SHOWN_COMMIT, Reference, is_commit, read_reference
from tunesmith.hub.space import shortage
from tunesmith.settings import Settings
from tunesmith.spec import HubModel


@dataclass(frozen=True)
class Found:
    """Where a base model is, or will be."""

    path: str
    hub: HubModel | None = None
    """What to download there; None: it is there."""


def find_base_model(value: str, settings: Settings) -> Found:
    """Return what `value` means; a model that is not on the disk is looked up at the hub.

    A path stays one, wrong or not. Raises InvalidInput, with a problem of `baseModel`.
    """
    if value.startswith(("/", "~")):
        return Found(value)
    if (named := _named(value, settings)) is not None:
        return Found(str(named))
    reference = _of_catalogue(value, settings.hub) or read_reference(value)
    if reference is None:
        _refuse("base_model_unknown_name", name=value, models_dir=str(settings.models_dir))
    if (there := _there(reference, settings.models_dir)) is not None:
        return Found(str(there))
    return _at_the_hub(reference, settings)


def _named(value: str, settings: Settings) -> Path | None:
    if ".." in Path(value).parts:  # a name stays below the models directory
        return None
    path = settings.models_dir / value
    try:
        return path if path.is_dir() else None
    except OSError:  # too long a name
        return None


def _of_catalogue(name: str, source: Source) -> Reference | None:
    """Return what a name of the catalogue stands for at this hub."""
    if found := find_variant(name):
        return read_reference(found[1].repo(source))
    entry = find_entry(name)
    return read_reference(entry.variants[0].repo(source)) if entry else None


def _there(reference: Reference, models_dir: Path, commit: str | None = None) -> Path | None:
    """Return the directory that holds `reference`, as far as that can be told from here."""
    whole = reference.directory(models_dir)
    wanted = commit or reference.revision
    if wanted is None:
        return whole if whole.is_dir() else None
    if not is_commit(wanted):
        return None
    if str(marker.read(whole).get("revision", "")).startswith(wanted):
        return whole
    beside = reference.directory(models_dir, wanted)
    return beside if len(wanted) >= SHOWN_COMMIT and beside.is_dir() else None


def _at_the_hub(reference: Reference, settings: Settings) -> Found:
    access = access_of(settings)
    if access.offline:
        _refuse("hub_offline", repo=reference.repo, models_dir=str(settings.models_dir))
    listing = ask_hub(access, reference.repo, reference.revision)
    if (
        reference.revision is not None
        and (there := _there(reference, settings.models_dir, listing.revision)) is not None
    ):
        return Found(str(there))
    # One revision of several lies beside the default, under a name that tells it.
    pinned = listing.revision if reference.revision is not None else None
    directory = reference.directory(settings.models_dir, pinned)
    if missing := _shortage(directory, listing):
        _refuse("download_no_space", repo=reference.repo, **missing)
    return Found(
        path=str(directory),
        hub=HubModel(
            source=access.source,
            repo=reference.repo,
            revision=listing.revision,
            endpoint=access.endpoint,
        ),
    )


def _shortage(directory: Path, listing: Listing) -> dict[str, str] | None:
    try:
        return shortage(directory, listing.files)
    except OSError:  # the download will tell better what is wrong there
        return None


def _refuse(code: str, **params: Any) -> NoReturn:
    raise InvalidInput(FieldProblem("baseModel", f"field.{code}", params))
