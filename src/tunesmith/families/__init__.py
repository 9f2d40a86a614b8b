"""The families of base models that are known, and how one is recognised. Imports no torch."""

from tunesmith.families.family import Family, PromptFormat

__all__ = ["Family", "PromptFormat"]
