"""The curves of a task, and what they say."""

from typing import Any, Literal

from pydantic import Field

from tunesmith.wire.answer import Answer


class MetricPoint(Answer):
    """Values at a step; a training point has no evaluation values and the other way round."""

    attempt: int
    step: int
    at: float
    epoch: float
    loss: float | None = None
    learning_rate: float | None = Field(None, alias="learning_rate")
    grad_norm: float | None = Field(None, alias="grad_norm")
    tokens_per_second: float | None = Field(None, alias="tokens_per_second")
    eval_loss: float | None = Field(None, alias="eval_loss")
    token_accuracy: float | None = Field(None, alias="token_accuracy")


class Convergence(Answer):
    """What the curves say of a training, in a sentence."""

    code: Literal["too_short", "falling", "settled", "overfitting", "diverging"]
    message: str
    params: dict[str, Any]


class Metrics(Answer):
    """The series of a task, by step."""

    training: list[MetricPoint]
    evaluation: list[MetricPoint]
    total: int
    """Training points there are between the steps that were asked for; `training` holds fewer when
    `maxPoints` was given."""
    convergence: Convergence | None = None
    """What the curves of the last attempt say; null before they say anything, and where
    only some steps were asked for."""
    last_event_id: int


class Sparkline(Answer):
    """The course of a task's losses in few points, evenly spaced, the last one included."""

    id: int
    loss: list[float]
    eval_loss: list[float]
