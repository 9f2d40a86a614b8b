"""The language of an answer, from `lang` in the query, else from `Accept-Language`."""

from typing import Annotated

from fastapi import Depends, Request

from tunesmith.api.state import state_of
from tunesmith.messages import Language

OURS: dict[str, Language] = {"zh": "zh", "en": "en"}


def preferred(header: str | None, fallback: Language) -> Language:
    """Return the language of `header` (RFC 9110, 12.5.4) that we speak and it likes best.

    `fallback` where it names none of ours, or `*` above them.
    """
    best, quality_of_best = fallback, 0.0
    for part in (header or "").split(","):
        tag, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = _quality(parameters)
        language = OURS.get(tag.partition("-")[0]) or (fallback if tag == "*" else None)
        # The earlier of two equals wins.
        if language and quality > quality_of_best:
            best, quality_of_best = language, quality
    return best


def language_of(request: Request) -> Language:
    """Return the language for a request's answer, errors included."""
    # A browser's EventSource and its downloads cannot set headers.
    if asked := OURS.get(request.query_params.get("lang", "")):
        return asked
    fallback = state_of(request).settings.language
    return preferred(request.headers.get("accept-language"), fallback)


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


RequestLanguage = Annotated[Language, Depends(language_of)]
