"""Names the encoding of a text file, and rewrites one that is not UTF-8."""

import codecs
from itertools import islice
from pathlib import Path

TEXT_SUFFIXES = (".jsonl", ".json", ".csv")
LINES_LOOKED_AT = 5000  # lines that are not plain ASCII
LONGEST_LINE = 64 << 20  # bytes
BLOCK = 1 << 20

UTF8, UTF8_BOM, UTF16, GBK, BINARY = "UTF-8", "UTF-8 BOM", "UTF-16", "GBK", "binary"
_CODECS = {UTF16: "utf-16", GBK: "gb18030"}  # GB18030 is the larger set that holds GBK


def encoding_of(file: Path) -> str:
    """Return UTF-8, UTF-8 BOM, UTF-16 or GBK; binary for Parquet. Raises OSError.

    Judged by the lines that are not plain ASCII: a few broken ones do not make a file GBK.
    """
    if file.suffix.lower() not in TEXT_SUFFIXES:
        return BINARY
    with file.open("rb") as lines:
        head = lines.read(3)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return UTF16
        lines.seek(0)
        foreign = (
            line for line in iter(lambda: lines.readline(LONGEST_LINE), b"") if not line.isascii()
        )
        utf8 = gbk = 0
        for line in islice(foreign, LINES_LOOKED_AT):
            if _decodes(line, "utf-8"):
                utf8 += 1
            elif _decodes(line, "gb18030"):
                gbk += 1
    if gbk > utf8:
        return GBK
    return UTF8_BOM if head == codecs.BOM_UTF8 else UTF8


def format_of(file: Path, encoding: str) -> str:
    """Return jsonl, json, csv or parquet: as the reader of rows sees it. Raises OSError."""
    suffix = file.suffix.lower()
    if suffix in (".csv", ".parquet"):
        return suffix[1:]
    with file.open("rb") as source:
        head = source.read(1 << 16).removeprefix(codecs.BOM_UTF8)
    if encoding in _CODECS:
        head = head.decode(_CODECS[encoding], "ignore").encode()
    # Both endings are used for both: the first character tells.
    return "json" if head.lstrip().startswith(b"[") else "jsonl"


def needs_rewriting(encoding: str) -> bool:
    return encoding in _CODECS


def rewrite(file: Path, encoding: str, target: Path) -> Path:
    """Write `file` to `target` in UTF-8, what cannot be decoded as U+FFFD; return `target`.

    Lines stay where they are. Raises OSError.
    """
    decoder = codecs.getincrementaldecoder(_CODECS[encoding])("replace")
    with file.open("rb") as source, target.open("wb") as out:
        while block := source.read(BLOCK):
            out.write(decoder.decode(block).encode())
        out.write(decoder.decode(b"", final=True).encode())
    return target


def _decodes(line: bytes, codec: str) -> bool:
    try:
        line.decode(codec)
    except UnicodeDecodeError:
        return False
    return True
