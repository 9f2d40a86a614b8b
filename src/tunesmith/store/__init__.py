"""What is remembered: tasks with their specs, attempts and events, in an SQL database."""

from tunesmith.store.curves import Curves
from tunesmith.store.lists import ORDER_KEYS
from tunesmith.store.records import AttemptRecord, NewTask, StoredEvent, TaskQuery, TaskRecord
from tunesmith.store.store import Store

__all__ = [
    "ORDER_KEYS",
    "AttemptRecord",
    "Curves",
    "NewTask",
    "Store",
    "StoredEvent",
    "TaskQuery",
    "TaskRecord",
]
