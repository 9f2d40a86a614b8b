"""The families of base models that are known, and how one is recognised. Imports no torch."""

from tunesmith.families.catalogue import CATALOGUE, CatalogueEntry, Variant, find_entry
from tunesmith.families.family import FAMILIES, Family, PromptFormat
from tunesmith.families.recognise import family_of, recognise

__all__ = [
    "CATALOGUE",
    "FAMILIES",
    "CatalogueEntry",
    "Family",
    "PromptFormat",
    "Variant",
    "family_of",
    "find_entry",
    "recognise",
]
