"""Measures `tunesmith check`: time, and peak memory of all its processes.

    python -m benchmarks.data_check [--rows 1000000] [--base-model DIR] [--keep FILE] [--alike]

From the root of the repository. The file is made anew, the same for the same seed: rows of about
1 KB, half of them Chinese, one in a hundred a copy, one in a hundred nearly one; or with
`--alike` all of them nearly the same. The limits are those of a million rows on 2 cores.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.running_server import verdict

TIME_LIMIT = 120.0  # seconds
MEMORY_LIMIT = 1024.0  # MiB
FULL = 1_000_000  # rows that the limits are for
ENGLISH_WORDS, CHINESE_CHARACTERS = 4000, 2500
SEED = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=FULL)
    parser.add_argument("--base-model", type=Path)
    parser.add_argument("--keep", type=Path, help="where the file stays, and is taken from")
    parser.add_argument("--alike", action="store_true", help="rows that are nearly the same")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        file = options.keep or Path(directory) / "train.jsonl"
        if not file.exists():
            make(file, options.rows, options.alike)
        print(f"     {options.rows:,} rows, {file.stat().st_size / 1e6:,.0f} MB")
        command = [sys.executable, "-m", "tunesmith", "check", str(file), "--json"]
        if options.base_model:
            command += ["--base-model", str(options.base_model)]
        start = time.monotonic()
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        seconds = time.monotonic() - start
    report = json.loads(done.stdout)
    print(f"     {report['message']}")
    for finding in report["findings"]:
        print(f"     {finding['message']}")
    # The check is a grandchild: waited for by a child, it counts for RUSAGE_CHILDREN.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    kept = verdict("time", seconds, TIME_LIMIT, "s")
    kept &= verdict("peak memory of the largest process", peak, MEMORY_LIMIT, "MiB", 0)
    if options.rows != FULL:
        print(f"     the limits are those of {FULL:,} rows")
    sys.exit(0 if kept else 1)


def make(file: Path, rows: int, alike: bool) -> None:
    """Write `rows` rows to `file`, the same for the same number."""
    draw = random.Random(SEED)
    kind = _alike if alike else _rows
    with file.open("w", encoding="utf-8") as out:
        for row in kind(draw, rows):
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def _rows(draw: random.Random, count: int) -> Iterator[dict[str, str]]:
    letters = "etaoinshrdlucmfwypvbgk"
    words = ["".join(draw.choices(letters, k=draw.randint(2, 9))) for _ in range(ENGLISH_WORDS)]
    characters = [chr(0x4E00 + each) for each in draw.sample(range(6000), CHINESE_CHARACTERS)]
    last = {"instruction": "Where do we begin?", "input": "", "output": "Here."}
    for number in range(count):
        kind = draw.random()
        if kind < 0.01:
            yield last
            continue
        if kind < 0.02:
            yield last | {"output": last["output"].replace(last["output"][10:14], "....", 1)}
            continue
        if number % 2:
            question = "".join(draw.choices(characters, k=draw.randint(10, 50))) + "？"
            parts = ["".join(draw.choices(characters, k=24)) for _ in range(draw.randint(4, 18))]
            answer = "，".join(parts) + "。"
        else:
            question = " ".join(draw.choices(words, k=draw.randint(6, 24))) + "?"
            answer = " ".join(draw.choices(words, k=draw.randint(60, 220))) + "."
        last = {"instruction": question, "input": "", "output": answer}
        yield last


def _alike(draw: random.Random, count: int) -> Iterator[dict[str, str]]:
    words = [f"word{number}" for number in range(120)]
    for number in range(count):
        answer = list(words)
        answer[draw.randrange(len(words))] = f"other{number}"
        yield {"instruction": "What is there?", "input": "", "output": " ".join(answer)}


if __name__ == "__main__":
    main()
