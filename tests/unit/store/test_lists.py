"""Pages of the task list: filters, order, totals."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from tests.unit.store.samples import new_task, running
from tunesmith.status import Status
from tunesmith.store import ORDER_KEYS, Store, TaskQuery
from tunesmith.store.database import open_database


def names(store: Store, **query: object) -> list[str]:
    tasks, total = store.page(TaskQuery(page_size=100, **query))  # type: ignore[arg-type]
    assert total == len(tasks)
    return [task.name for task in tasks]


def test_an_empty_store_has_an_empty_page(store: Store) -> None:
    assert store.page(TaskQuery()) == ([], 0)


def test_a_page_holds_whole_records_newest_first(store: Store) -> None:
    tasks = [store.insert(new_task(name=f"task {n}")) for n in range(5)]
    assert store.page(TaskQuery(page=1, page_size=2)) == ([tasks[4], tasks[3]], 5)
    assert store.page(TaskQuery(page=3, page_size=2)) == ([tasks[0]], 5)
    assert store.page(TaskQuery(page=4, page_size=2)) == ([], 5)


def test_a_page_far_beyond_the_last_is_empty(store: Store) -> None:
    store.insert(new_task())
    assert store.page(TaskQuery(page=10**30)) == ([], 1)


def test_a_page_may_be_as_large_as_the_list(store: Store) -> None:
    for _ in range(30):
        store.insert(new_task())
    assert len(store.page(TaskQuery(page_size=2**40))[0]) == 30


def test_filters_find_parts_without_regard_to_case(store: Store) -> None:
    store.insert(new_task(name="Persona one", description="Fragen ÜBER uns"))
    store.insert(new_task(name="ÄRZTE", description="persona", base_model="QWEN3-0.6B"))
    store.insert(new_task(name="客服", base_model="chatglm3-6b"))
    assert names(store, name="PERSONA") == ["Persona one"]
    assert names(store, name="ärz") == ["ÄRZTE"]
    assert names(store, name="服") == ["客服"]
    assert names(store, keyword="persona") == ["ÄRZTE", "Persona one"]
    assert names(store, keyword="über") == ["Persona one"]
    assert names(store, base_model="qwen3") == ["ÄRZTE", "Persona one"]
    assert names(store, name="persona", base_model="glm") == []


def test_the_base_model_is_found_as_the_user_gave_it(store: Store) -> None:
    store.insert(new_task(name="a"))  # Qwen3-0.6B, which lies in /srv/models
    assert names(store, base_model="/srv/models") == []


@pytest.mark.parametrize("character", ["%", "_", "/", "\\", "'", "?", ":x"])
def test_special_characters_in_filters_are_literal(store: Store, character: str) -> None:
    store.insert(new_task(name="plain", description="plain", base_model="plain"))
    odd = f"odd{character}one"
    store.insert(new_task(name=odd, description=odd, base_model=odd))
    for field in ("name", "keyword", "base_model"):
        assert names(store, **{field: character}) == [odd]
        assert names(store, **{field: f"d{character}O"}) == [odd]


def test_a_status_filter_is_exact(store: Store) -> None:
    store.insert(new_task(name="waits"))
    running(store, name="runs")
    ended = running(store, name="ended")
    store.set_status(ended, Status.COMPLETED)
    assert names(store, status=Status.PENDING) == ["waits"]
    assert names(store, status=Status.COMPLETED) == ["ended"]
    assert names(store, status=Status.COMPLETED, name="waits") == []
    assert store.counts() == dict.fromkeys(Status, 0) | {
        Status.PENDING: 1,
        Status.RUNNING: 1,
        Status.COMPLETED: 1,
    }


@pytest.mark.parametrize("key", ORDER_KEYS)
def test_every_order_is_stable_over_pages_and_ties(store: Store, key: str) -> None:
    # All tie on every key but the id and the times; those of one started task differ.
    ids = [store.insert(new_task(output_path=f"/srv/out/{n}")).id for n in range(6)]
    ids.append(running(store).id)

    def paged(desc: bool | None) -> list[int]:
        query = {"page_size": 2, "order_key": key, "desc": desc}
        pages = [store.page(TaskQuery(page=n, **query))[0] for n in range(1, 5)]  # type: ignore[arg-type]
        return [task.id for page in pages for task in page]

    assert paged(False) == paged(None)
    assert paged(True) == paged(False)[::-1]
    assert sorted(paged(True)) == ids


def test_orders_sort_by_what_they_name(store: Store) -> None:
    store.insert(new_task(name="beta", base_model="z"))
    running(store, name="Alpha", base_model="b")
    slow, fast = running(store, name="gamma", base_model="A"), running(store, name="delta")
    store.record(slow.id, 1, [], 0, step=1, total_steps=10)
    store.record(fast.id, 1, [], 0, step=9, total_steps=10)
    assert names(store, order_key="name") == ["Alpha", "beta", "delta", "gamma"]
    assert names(store, order_key="baseModel") == ["gamma", "Alpha", "delta", "beta"]
    assert names(store, order_key="progress", desc=True)[:2] == ["delta", "gamma"]
    assert names(store, order_key="status", desc=False)[0] == "beta"
    assert names(store, order_key="UpdatedAt", desc=True)[:2] == ["delta", "gamma"]
    assert names(store, order_key="ID") == ["beta", "Alpha", "gamma", "delta"]


def test_a_time_that_has_not_come_is_before_all(store: Store) -> None:
    started, waiting = running(store, name="started"), store.insert(new_task(name="waiting"))
    assert started.id < waiting.id
    assert names(store, order_key="startedAt", desc=False) == ["waiting", "started"]
    assert names(store, order_key="startedAt", desc=True) == ["started", "waiting"]


@pytest.mark.parametrize(
    "query",
    [
        TaskQuery(),
        TaskQuery(name="persona"),
        TaskQuery(status=Status.FAILED),
        TaskQuery(status=Status.FAILED, name="persona"),
    ],
)
def test_common_lists_are_answered_from_an_index_alone(tmp_path: Path, query: TaskQuery) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'tunesmith.db'}")
    store = Store(engine)
    store.set_status(store.insert(new_task()), Status.FAILED)
    plans = plans_of(engine, lambda: store.page(query))
    store.close()
    count, page = plans
    ids, _ = page.split("SEARCH tasks USING INTEGER PRIMARY KEY")  # then the few rows of the page
    for plan in (count, ids):
        assert "SEARCH tasks USING COVERING INDEX" in plan
        assert "TEMP B-TREE" not in plan
    assert "SCAN tasks" not in count + page


def test_a_search_that_reads_the_rows_reads_them_in_order(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'tunesmith.db'}")
    store = Store(engine)
    store.insert(new_task(name="persona"))
    count, page = plans_of(engine, lambda: store.page(TaskQuery(keyword="persona")))
    store.close()
    assert "INDEX tasks_ordered_by_created" in count
    assert "INDEX tasks_by_id" in page


@pytest.mark.parametrize("desc", [False, True])
@pytest.mark.parametrize("status", [None, Status.FAILED])
@pytest.mark.parametrize("key", sorted(ORDER_KEYS.keys() - {"UpdatedAt"}))
def test_an_ordered_list_is_not_sorted(
    tmp_path: Path, key: str, status: Status | None, desc: bool
) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'tunesmith.db'}")
    store = Store(engine)
    store.set_status(store.insert(new_task()), Status.FAILED)
    query = TaskQuery(order_key=key, status=status, desc=desc)
    count, page = plans_of(engine, lambda: store.page(query))
    store.close()
    ids, _ = page.split("SEARCH tasks USING INTEGER PRIMARY KEY")  # then the few rows of the page
    assert "SEARCH tasks USING" in ids
    assert "TEMP B-TREE" not in ids
    assert "SCAN tasks" not in count + page


@pytest.mark.parametrize("question", [Store.pending, Store.running, Store.to_delete])
def test_what_the_daemon_asks_for_is_found_without_reading_all(
    tmp_path: Path, question: Callable[[Store], object]
) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'tunesmith.db'}")
    store = Store(engine)
    store.insert(new_task())
    (plan,) = plans_of(engine, lambda: question(store))
    store.close()
    assert "SCAN tasks" not in plan
    assert "SCAN specs" not in plan


def test_statistics_and_the_events_of_a_type_come_from_an_index(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'tunesmith.db'}")
    store = Store(engine)
    task = store.insert(new_task())
    (counts,) = plans_of(engine, store.counts)
    (models,) = plans_of(engine, store.base_models)
    (told,) = plans_of(engine, lambda: store.events_of_types(task.id, ("status", "phase")))
    drawn = plans_of(engine, lambda: store.curves([task.id], 60))
    store.close()
    assert counts.count("SEARCH tasks USING COVERING INDEX") == len(Status)
    assert "USING COVERING INDEX tasks_by_base_model" in models
    assert "USING INDEX events_by_type" in told
    assert all("COVERING INDEX events_by_type" in plan for plan in drawn)
    assert not any("SCAN events" in plan for plan in drawn)


def test_base_models_in_use_come_latest_first_and_once(store: Store) -> None:
    for name in ("a", "b", "a", "c", "b", "d"):
        store.insert(new_task(base_model=name))
    deleted = store.task(6)
    assert store.update(deleted, delete_requested_at=1.0)
    assert store.base_models() == ["b", "c", "a"]
    assert store.base_models(limit=2) == ["b", "c"]


def plans_of(engine: Engine, call: Callable[[], object]) -> list[str]:
    """Return SQLite's plan of every SELECT that `call` makes."""
    seen = []

    def note(_c: object, _cursor: object, sql: str, values: Any, *_: object) -> None:
        seen.append((sql, values))

    event.listen(engine, "before_cursor_execute", note)
    call()
    event.remove(engine, "before_cursor_execute", note)
    plans = []
    with engine.connect() as connection:
        for sql, values in seen:
            if sql.startswith("SELECT"):
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)
                plans.append("\n".join(row.detail for row in plan))
    return plans
