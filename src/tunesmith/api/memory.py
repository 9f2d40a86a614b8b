"""planMemory and getMemoryHistory: what a training will take, and what past ones took."""

from fastapi import APIRouter
from starlette.responses import Response

from tunesmith import wire
from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.language import RequestLanguage
from tunesmith.api.state import State
from tunesmith.memory_plan.history import learnt_ratio
from tunesmith.plan_memory import PlanRequest, plan_memory

router = APIRouter()


@router.post("/planMemory", operation_id="planMemory", response_model=Envelope[wire.MemoryPlan])
def plan(request: PlanRequest, state: State, language: RequestLanguage) -> Response:
    """Return what a training would take on each device, whether it fits, and what would help.

    `mode: formula` answers at once, `mode: trace` in some seconds.
    """
    settings, store = state.settings, state.store

    def ratio_of(family: str, method: str, device_type: str, mode: str) -> float:
        return learnt_ratio(store.memory_runs_of(family, method, device_type, mode))

    found = plan_memory(request, settings, settings.roots, state.inventory(), ratio_of)
    return answer(found, language)


@router.get(
    "/getMemoryHistory",
    operation_id="getMemoryHistory",
    response_model=Envelope[list[wire.MemoryRun]],
)
def history(state: State, language: RequestLanguage) -> Response:
    """Return planned and measured memory of past runs, the newest first."""
    runs = [
        wire.MemoryRun(
            task_id=run.task_id,
            attempt=run.attempt,
            ended_at=run.ended_at,
            base_model=run.base_model,
            family=run.family,
            method=run.method,
            device_type=run.device_type,
            mode=run.mode,
            gradient_checkpointing=run.gradient_checkpointing,
            planned=run.told,
            measured=run.measured,
            ratio=run.ratio,
            error=run.error,
        )
        for run in state.store.memory_runs()
    ]
    return answer(runs, language)
