"""getDeviceList: the GPUs there are, and which task holds each."""

from dataclasses import asdict

from fastapi import APIRouter
from starlette.responses import Response

from tunesmith import wire
from tunesmith.api.envelope import Envelope, answer
from tunesmith.api.language import RequestLanguage
from tunesmith.api.state import State

router = APIRouter()


@router.get(
    "/getDeviceList", operation_id="getDeviceList", response_model=Envelope[list[wire.Device]]
)
def get_device_list(state: State, language: RequestLanguage) -> Response:
    """Return the devices of this machine; none means that trainings run on the CPU."""
    holders = {device: task.id for task in state.store.running() for device in task.devices}
    devices = [
        wire.Device(**asdict(device), task_id=holders.get(device.index))
        for device in state.inventory()
    ]
    return answer(devices, language)
