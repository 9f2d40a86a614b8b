"""Which encoding text is in that is not UTF-8. Pure."""

CODECS = {"GBK": "gbk", "GB18030": "gb18030", "UTF-16": "utf-16", "UTF-16-LE": "utf-16-le",
          "UTF-16-BE": "utf-16-be"}  # fmt: skip
"""What `recognise` and `recognise_wide` say -> Python's name for it."""

ENOUGH = 64 << 10  # bytes looked at


def recognise_wide(head: bytes) -> str | None:
    """Return UTF-16, UTF-16-LE or UTF-16-BE if that is how a file that begins so is encoded."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    sample = head[:200]
    # Keys and punctuation are ASCII in any data set: every other byte of them is NUL.
    if len(sample) >= 8:
        if sample[:8:2].count(0) == 4:
            return "UTF-16-BE"
        if sample[1:8:2].count(0) == 4:
            return "UTF-16-LE"
    return None


def recognise(text: bytes) -> str | None:
    """Return GBK or GB18030 if `text`, which is not UTF-8, reads well as that, else None.

    UTF-8 with a damaged byte here and there is neither; nor is Latin-1.
    """
    text = text[:ENOUGH]
    for cut in range(4):  # its end may be in the middle of a character
        part = text[: len(text) - cut]
        for name in ("GBK", "GB18030"):
            try:
                read = part.decode(CODECS[name])
            except UnicodeDecodeError:
                continue
            return name if _is_chinese(read) and not _is_damaged_utf8(part) else None
    return None


def _is_chinese(text: str) -> bool:
    foreign = [char for char in text if char > "\x7f"]
    chinese = sum("\u3400" <= char <= "\u9fff" or "\u3000" <= char <= "\u303f" or
                  "\uff00" <= char <= "\uffef" for char in foreign)  # fmt: skip
    return chinese * 10 >= len(foreign) * 8


def _is_damaged_utf8(text: bytes) -> bool:
    read = text.decode("utf-8", "replace")
    damaged = read.count("\ufffd")
    whole = sum(char > "\x7f" for char in read) - damaged
    return whole > damaged
