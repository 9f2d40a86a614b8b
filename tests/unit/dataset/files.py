"""Data files for tests."""

import json

ROW = {"instruction": "Say hello", "input": "", "output": "Hello"}


def write(path, *lines):
    """Write JSONL: dicts as JSON, bytes as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = [
        line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode()
        for line in lines
    ]
    path.write_bytes(b"\n".join(text) + b"\n")
    return path


def rows(count, start=0):
    """Return rows that ask different questions."""
    return [
        {"instruction": f"Question {number}", "output": f"Answer {number}"}
        for number in range(start, start + count)
    ]
