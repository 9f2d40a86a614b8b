"""Named rules that say what is wrong with a sample's text. Pure; a few microseconds a sample."""

import re
from collections.abc import Callable, Iterable
from enum import IntFlag

from tunesmith.dataset.conversation import Conversation

LONG_ENOUGH = 20  # characters from which an answer is expected to end like a sentence
LOOP_SHORTEST = 20  # characters
LOOP_LOOKED_AT = 4000  # characters at the end of an answer: where a model's loops are
# A few characters from here and there that stand in a text this often hint at a loop.
PROBE_LONGEST, PROBE_TIMES = 12, 4


class Rule(IntFlag):
    """What holds for a sample. The last two are not faults but needed to judge the others."""

    ONE_CHARACTER = 1
    """An answer is a single character."""
    ECHO = 2
    """An answer repeats its question."""
    UNFINISHED = 4
    """A long answer ends in a letter or comma: cut off, where most others end properly."""
    UNCLOSED = 8
    """An answer ends within a bracket, a quotation or a code block."""
    GARBLED = 16
    """Text was read with the wrong encoding at some time, or holds control characters."""
    LOOP = 32
    """A character or phrase is repeated over and over."""
    CONTROL = 64
    """A control token is typed in the text."""
    LONG = 128
    """The last answer is long enough to end like a sentence."""
    ENDED = 256
    """... and does."""


_LIST_ITEM = re.compile(r"\s*(?:[-*+•·|#>]|\(?\w{1,3}[.)、:：])\s*\S")
_BRACKETS = ("()", "[]", "{}", "（）", "【】", "《》", "「」", "『』", "“”")
_FENCE = "```"

# UTF-8 read as Latin-1 or Windows-1252; U+FFFD, and what it and fresh memory become in GBK.
_CP1252 = "\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_GARBLED = re.compile(
    f"[ÃÂ][\u0080-\u00aa\u00ac-\u00ba\u00bc-\u00bf]|[\u00e0-\u00ef][{_CP1252}]{{2}}|ï»¿|â€"
    "|\ufffd|锟斤|烫烫烫|屯屯屯|[\u0080-\u0084\u0086-\u009f]"
)
# Control characters but for those that move to the next line, page or column, and 0x1f, which
# stands between the texts of a sample.
_CONTROL_BYTES = bytes([*range(9), 0x0B, *range(0x0E, 0x1F), 0x7F])
# What holds none of these is not garbled: most texts are done with one look.
_SUSPECT = re.compile("[\u0080-\u009fÂÃ\u00e0-\u00efâ\ufffd锟烫屯锛銆鈥鐨]")
_UTF8_AS_GBK = re.compile("[锛銆鈥鐨]")  # what "，", "。", quotes and "的" become
_RUN = re.compile(r"([^\s\-=_*.#~·…─━═|+>xX0])\1{19,}")
_LOOP = re.compile(r"(\S.{1,199}?)\1{5,}", re.DOTALL)

# Typed by somebody, these are control tokens of some family (`controls_of_families`).
FAMILY_CONTROLS = (
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>"),
    *("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<|eot_id|>", "<|eom_id|>", "<|python_tag|>"),
    *("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
    *("[gMASK]", "<sop>", "<eop>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<s>", "</s>"),
)


def finder(controls: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that tells whether one of `controls` stands in a text."""
    names = sorted(filter(None, controls), key=len, reverse=True)
    if not names:
        return lambda text: False
    pattern = re.compile("|".join(map(re.escape, names)))
    firsts = {name[0] for name in names}
    # Most texts hold neither "<" nor "[": that is seen faster than any pattern.
    return lambda text: any(first in text for first in firsts) and pattern.search(text) is not None


def judge(
    conversation: Conversation, text: str, encoded: bytes, has_control: Callable[[str], bool]
) -> Rule:
    """Return every rule that holds; `text` is all of the conversation's, `encoded` it in UTF-8."""
    found = Rule(0)
    for question, answer in conversation.turns:
        stripped = answer.strip()
        if len(stripped) == 1:
            found |= Rule.ONE_CHARACTER
        if stripped == question.strip():
            found |= Rule.ECHO
        if _unclosed(stripped):
            found |= Rule.UNCLOSED
        if _loops(stripped):
            found |= Rule.LOOP
    last = conversation.turns[-1].answer.rstrip()
    if len(last) >= LONG_ENOUGH:
        found |= Rule.LONG
        found |= Rule.UNFINISHED if _unfinished(last) else Rule.ENDED
    if is_garbled(text, encoded):
        found |= Rule.GARBLED
    if has_control(text):
        found |= Rule.CONTROL
    return found


def is_garbled(text: str, encoded: bytes) -> bool:
    """Whether `text`, in UTF-8 `encoded`, was spoilt by a wrong encoding."""
    if len(encoded.translate(None, _CONTROL_BYTES)) != len(encoded):
        return True
    if len(encoded) == len(text) or _SUSPECT.search(text) is None:  # the first is ASCII
        return False
    return (
        _GARBLED.search(text) is not None
        or len(set(_UTF8_AS_GBK.findall(text))) >= 2  # one alone is a rare character, rightly used
    )


def _unfinished(answer: str) -> bool:
    """Whether `answer` (without blanks at the end) stops in the middle of a sentence."""
    end = answer[-1]
    if not (end.isalpha() or end in ",，、-—（("):
        return False
    # Lists, tables, headings and code end without a full stop.
    last_line = answer[answer.rfind("\n") + 1 :]
    return _LIST_ITEM.match(last_line) is None


def _unclosed(answer: str) -> bool:
    if answer.count(_FENCE) % 2:
        return True
    if not answer or not (answer[-1].isalnum() or answer[-1] in ",，、-—（“《「【『："):
        return False
    return any(answer.count(opens) > answer.count(shuts) for opens, shuts in map(tuple, _BRACKETS))


def _loops(answer: str) -> bool:
    end = answer[-LOOP_LOOKED_AT:]
    length = len(end)
    if length < LOOP_SHORTEST:
        return False
    probe = max(2, min(PROBE_LONGEST, length // 8))
    places = (length - probe, length * 3 // 4, length // 2, length // 4)
    if all(end.count(end[place : place + probe]) < PROBE_TIMES for place in places):
        return False
    if _RUN.search(end):
        return True
    return any(len(set(loop.group(1))) > 1 for loop in _LOOP.finditer(end))
