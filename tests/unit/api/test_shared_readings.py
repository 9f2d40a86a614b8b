import asyncio
import threading

import pytest

from tunesmith.api.shared_readings import MOST_KEPT, SharedReadings
from tunesmith.errors import NotFound


class Source:
    """Counts how often it is read; holds readers back until `open`."""

    def __init__(self):
        self.read_times = 0
        self.open = threading.Event()

    def read(self):
        self.read_times += 1
        assert self.open.wait(10)
        return self.read_times


def test_who_asks_the_same_at_the_same_time_shares_one_reading():
    async def ask():
        source, readings = Source(), SharedReadings()
        asked = [asyncio.create_task(readings.read("a", 1.0, source.read)) for _ in range(50)]
        await asyncio.sleep(0)
        asked[0].cancel()  # one who leaves does not take it from the others
        source.open.set()
        answers = await asyncio.gather(*asked[1:])
        assert set(answers) == {1}
        assert await readings.read("a", 60.0, source.read) == 1
        assert await readings.read("b", 60.0, source.read) == 2

    asyncio.run(ask())


def test_what_is_too_old_is_read_again():
    async def ask():
        source, readings = Source(), SharedReadings()
        source.open.set()
        assert await readings.read("a", 60.0, source.read) == 1
        await asyncio.sleep(0.01)
        assert await readings.read("a", 0.0, source.read) == 2
        assert await readings.read("a", 60.0, source.read) == 2

    asyncio.run(ask())


def test_an_error_is_everybodys():
    def fail():
        raise NotFound("task_not_found", id=1)

    async def ask():
        readings = SharedReadings()
        results = await asyncio.gather(
            *(readings.read("a", 1.0, fail) for _ in range(3)), return_exceptions=True
        )
        assert all(isinstance(result, NotFound) for result in results)
        with pytest.raises(NotFound):
            await readings.read("a", 1.0, fail)

    asyncio.run(ask())


def test_only_the_latest_are_kept():
    async def ask():
        readings = SharedReadings()
        for number in range(3 * MOST_KEPT):
            assert await readings.read(number, 60.0, lambda number=number: number) == number
        assert len(readings._begun) == MOST_KEPT

    asyncio.run(ask())
