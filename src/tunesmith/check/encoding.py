"""What a file of a data set is, and a copy in UTF-8 of one in another encoding."""

import codecs
from pathlib import Path

from tunesmith.dataset.encoding import CODECS
from tunesmith.dataset.source import Source

BLOCK = 1 << 20

UTF8, UTF8_BOM, BINARY = "UTF-8", "UTF-8 BOM", "binary"


def kind_and_encoding(file: Path) -> tuple[str, str]:
    """Return jsonl, json, csv or parquet, and the encoding of a file that reads as UTF-8.

    Raises OSError.
    """
    with Source(file) as source:
        if source.kind == "parquet":
            return source.kind, BINARY
        marked = source.head.startswith(codecs.BOM_UTF8)
        return source.kind, UTF8_BOM if marked else UTF8


def needs_rewriting(encoding: str) -> bool:
    return encoding in CODECS


def rewrite(file: Path, encoding: str, target: Path) -> Path:
    """Write `file` to `target` in UTF-8, what cannot be decoded as U+FFFD; return `target`.

    `encoding` is what `tunesmith.dataset` calls it. Lines stay where they are. Raises OSError.
    """
    # GB18030 is the larger set that holds GBK: a few of its characters must not be lost.
    codec = "gb18030" if encoding == "GBK" else CODECS[encoding]
    decoder = codecs.getincrementaldecoder(codec)("replace")
    with file.open("rb") as source, target.open("wb") as out:
        while block := source.read(BLOCK):
            out.write(decoder.decode(block).encode())
        out.write(decoder.decode(b"", final=True).encode())
    return target
