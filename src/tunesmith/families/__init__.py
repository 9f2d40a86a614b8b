"""The families of base models that are known, and how one is recognised. Imports no torch."""

from tunesmith.families.catalogue import (
    CATALOGUE,
    CatalogueEntry,
    Variant,
    find_entry,
    find_variant,
)
from tunesmith.families.family import FAMILIES, GENERIC, Family, PromptFormat
from tunesmith.families.recognise import family_of, recognise

__all__ = [
    "CATALOGUE",
    "FAMILIES",
    "GENERIC",
    "CatalogueEntry",
    "Family",
    "PromptFormat",
    "Variant",
    "family_of",
    "find_entry",
    "find_variant",
    "recognise",
]
