"""What all shapes of answers have in common."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Answer(BaseModel):
    """Frozen; fields are camelCase unless they say otherwise."""

    # Built when first used: all together they would be a part of each start of the server.
    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, defer_build=True
    )
