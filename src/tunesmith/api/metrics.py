"""getTaskMetrics: the curves of a task, thinned on the server."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from tunesmith import wire
from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.language import RequestLanguage
from tunesmith.api.queries import EmptyIsNone, TaskId
from tunesmith.api.state import State
from tunesmith.convergence import Point, judge
from tunesmith.messages import Language, sentence
from tunesmith.store import StoredEvent

PointCount = Annotated[int, Field(ge=10, le=1_000_000)]
Step = Annotated[int, Field(ge=0)]

router = APIRouter()


@router.get("/getTaskMetrics", operation_id="getTaskMetrics", response_model=Envelope[wire.Metrics])
def get_task_metrics(
    id: TaskId,
    state: State,
    language: RequestLanguage,
    max_points: Annotated[
        PointCount | None,
        EmptyIsNone,
        Query(alias="maxPoints", description="Not given: all points"),
    ] = None,
    from_step: Annotated[
        Step | None, EmptyIsNone, Query(alias="fromStep", description="The first step wanted")
    ] = None,
    to_step: Annotated[
        Step | None, EmptyIsNone, Query(alias="toStep", description="The last step wanted")
    ] = None,
) -> Response:
    """Return loss, learning rate, gradient norm, tokens a second and evaluations by step."""
    state.store.task(id)
    last_event_id = state.store.last_event_id(id)
    stored = state.store.events_of_types(
        id, ("metrics", "evaluation"), from_step=from_step, to_step=to_step
    )
    # What came after the id is told by a stream that goes on there.
    known = [event for event in stored if event.id <= last_event_id]
    training = [event for event in known if event.type == "metrics"]
    evaluation = [event for event in known if event.type == "evaluation"]
    whole = from_step is None and to_step is None  # a part of the curves says nothing of their end
    metrics = wire.Metrics(
        training=[point(event) for event in thinned(training, max_points)],
        evaluation=[point(event) for event in thinned(evaluation, max_points)],
        total=len(training),
        convergence=_convergence(training, evaluation, language) if whole else None,
        last_event_id=last_event_id,
    )
    return answer(metrics, language)


def _convergence(
    training: Sequence[StoredEvent], evaluation: Sequence[StoredEvent], language: Language
) -> wire.Convergence | None:
    """Return what the curves of the last attempt say."""
    attempt = training[-1].attempt if training else 0
    found = judge(
        *(
            [
                Point(event.data["step"], event.data.get(name))
                for event in events
                if event.attempt == attempt
            ]
            for events, name in ((training, "loss"), (evaluation, "eval_loss"))
        )
    )
    if found is None:
        return None
    message = sentence(f"convergence.{found.key}", language, found.params)
    return wire.Convergence(code=found.code, message=message, params=found.params)


def point(event: StoredEvent) -> wire.MetricPoint:
    """Return a `metrics` or `evaluation` event as a point of the curves."""
    known = wire.MetricPoint.model_fields.keys() - {"attempt", "at"}
    values = {name: value for name, value in event.data.items() if name in known}
    return wire.MetricPoint(attempt=event.attempt, at=event.at, **values)


def thinned(events: Sequence[StoredEvent], at_most: int | None) -> Sequence[StoredEvent]:
    """Return `at_most` events or fewer (10 at least): first, last, and the extremes between.

    The series is cut into buckets of equal length, and each gives its lowest loss, its highest
    and its highest gradient norm. Largest-triangle-three-buckets looks smoother but may drop the
    one spike that somebody looks for, and it follows a single curve, where ours share a point.
    """
    if at_most is None or len(events) <= at_most:
        return events
    inner = range(1, len(events) - 1)
    buckets = (at_most - 2) // 3
    kept = {0, len(events) - 1}
    for number in range(buckets):
        start, end = (len(inner) * edge // buckets for edge in (number, number + 1))
        bucket = inner[start:end]
        kept.add(min(bucket, key=lambda index: _loss(events[index])))
        kept.add(max(bucket, key=lambda index: _loss(events[index])))
        kept.add(max(bucket, key=lambda index: _number(events[index], "grad_norm")))
    return [events[index] for index in sorted(kept)]


def _loss(event: StoredEvent) -> float:
    return _number(event, "loss" if event.type == "metrics" else "eval_loss")


def _number(event: StoredEvent, name: str) -> float:
    value = event.data.get(name)
    # A number that was not finite is left out by the store: it is the spike itself.
    return value if isinstance(value, int | float) else float("inf")
