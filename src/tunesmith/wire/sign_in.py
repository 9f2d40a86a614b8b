"""Who is signed in."""

from pydantic import Field

from tunesmith.wire.answer import Answer


class Me(Answer):
    """Who is signed in."""

    user_id: int | None = Field(alias="userID")
    """Null: with the server's own token."""
    name: str | None
    version: str
