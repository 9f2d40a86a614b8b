"""The envelope of every JSON answer: {"code": 0, "data": ..., "msg": "..."}."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from tunesmith.messages import Language, sentence

Data = TypeVar("Data")


class Envelope(BaseModel, Generic[Data]):
    """What OpenAPI shows: `code` is 0 on success, `msg` is a sentence for a person."""

    model_config = ConfigDict(defer_build=True)

    code: int
    data: Data
    msg: str


class WrongField(BaseModel):
    """A field of a request that must be changed."""

    field: str
    message: str
    type: str


class WrongFields(BaseModel):
    """The data of an answer 422."""

    errors: list[WrongField]


class JSON(JSONResponse):
    """JSON whose text may hold what a client sent, half characters included."""

    def render(self, content: Any) -> bytes:
        return to_json(content)


def answer(
    data: BaseModel | Sequence[BaseModel] | Mapping[str, Any] | str | None, language: Language
) -> JSON:
    """Return a success with `data`, models under their wire names."""
    return JSON({"code": 0, "data": _plain(data), "msg": sentence("ok", language)})


def to_json(value: Any) -> bytes:
    """Return `value` as one line of JSON. Half a surrogate pair, which UTF-8 lacks, is escaped."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")


def _plain(data: Any) -> Any:
    if isinstance(data, BaseModel):
        return data.model_dump(mode="json", by_alias=True)
    if isinstance(data, list | tuple):
        return [_plain(part) for part in data]
    return data
