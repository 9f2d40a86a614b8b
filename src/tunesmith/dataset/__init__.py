"""Training data: find its files, read their rows, divide and check them. Imports no torch."""

from tunesmith.dataset.check import CheckResult, check
from tunesmith.dataset.conversation import Conversation, Turn
from tunesmith.dataset.dataset import Dataset, has_known_ending, has_training_file, open_dataset
from tunesmith.dataset.record import BadRowList
from tunesmith.dataset.row_problem import BadRow, ends_file
from tunesmith.dataset.rows import read_conversations, read_rows, unit_of
from tunesmith.dataset.split import Split, question_key

__all__ = [
    "BadRow",
    "BadRowList",
    "CheckResult",
    "Conversation",
    "Dataset",
    "Split",
    "Turn",
    "check",
    "ends_file",
    "has_known_ending",
    "has_training_file",
    "open_dataset",
    "question_key",
    "read_conversations",
    "read_rows",
    "unit_of",
]
