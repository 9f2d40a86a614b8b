"""Query parameters that several resources share: an empty value means 'not given'."""

from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tunesmith.errors import FieldProblem, InvalidInput, NotFound
from tunesmith.spec import Int

EmptyIsNone = BeforeValidator(lambda value: None if value == "" else value)
OptionalInt = Annotated[int | None, EmptyIsNone]
OptionalSwitch = Annotated[bool | None, EmptyIsNone]


def not_empty(values: Any) -> Any:
    """Leave out what is empty or null, for models of a query or body."""
    if isinstance(values, dict):
        return {name: value for name, value in values.items() if value not in ("", None)}
    return values


class TaskIdBody(BaseModel):
    """`{"id": 1}`, for consoles that send it in the body."""

    model_config = ConfigDict(extra="ignore")

    id: Int | None = Field(None, validation_alias=AliasChoices("id", "ID"))

    @model_validator(mode="before")
    @classmethod
    def _given_only(cls, values: Any) -> Any:
        return not_empty(values)


def _id_of_query(id: Annotated[OptionalInt, Query(description="Task id")] = None) -> int:
    return _known(id)


def _id_of_query_or_body(
    id: Annotated[OptionalInt, Query(description="Task id")] = None,
    body: TaskIdBody | None = None,
) -> int:
    return _known(id if id is not None or body is None else body.id)


def _known(id: int | None) -> int:
    if id is None:
        raise InvalidInput(FieldProblem("id", "field.missing"))
    # What no store can hold is no task either.
    if not 0 < id < 2**63:
        raise NotFound("task_not_found", id=id)
    return id


TaskId = Annotated[int, Depends(_id_of_query)]
TaskIdAnywhere = Annotated[int, Depends(_id_of_query_or_body)]
