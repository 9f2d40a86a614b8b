"""Training data: find the splits of a path, read alpaca JSONL, check it. Imports no torch."""

from tunesmith.dataset.check import CheckResult, check
from tunesmith.dataset.samples import Sample, read_samples
from tunesmith.dataset.splits import Splits, find_splits

__all__ = ["CheckResult", "Sample", "Splits", "check", "find_splits", "read_samples"]
