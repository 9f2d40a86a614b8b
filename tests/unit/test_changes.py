import asyncio
import threading

from tunesmith.changes import Changes


def test_a_bell_rings_for_its_task_and_for_any():
    async def listen() -> None:
        changes = Changes()
        with changes.bell(7) as bell, changes.bell() as every:
            changes.publish(8)
            assert not await bell.wait(0.01)
            assert await every.wait(1)
            changes.publish(8, 7)
            assert await bell.wait(1)
            assert bell.take() == {7, 8}
            assert every.take() == {7, 8}
            changes.publish()
            assert await bell.wait(1)
            assert bell.take() is None
            assert bell.take() == set()
            assert not bell.rung

    asyncio.run(listen())


def test_what_comes_after_any_change_is_still_any():
    async def listen() -> None:
        changes = Changes()
        with changes.bell() as bell:
            for each in ((1,), (), (2,)):
                changes.publish(*each)
            assert await bell.wait(1)
            assert bell.take() is None

    asyncio.run(listen())


def test_a_change_after_the_bell_was_taken_rings_it_again_and_is_counted():
    async def listen() -> None:
        changes = Changes()
        with changes.bell(1) as bell:
            for _ in range(100):
                bell.take()
                before = changes.count
                thread = threading.Thread(target=changes.publish, args=(1,))
                thread.start()
                assert await bell.wait(5)
                thread.join()
                assert changes.count == before + 1

    asyncio.run(listen())


def test_a_bell_of_a_loop_that_is_gone_hurts_nobody():
    changes = Changes()
    bell = changes.bell()

    async def listen() -> None:
        bell.__enter__()

    asyncio.run(listen())
    changes.publish()
    bell.__exit__(None, None, None)
    changes.publish()
