"""The rules, one text at a time."""

import pytest

from tunesmith.check.quality import FAMILY_CONTROLS, Rule, finder, judge
from tunesmith.dataset import Conversation, Turn

FAULTS = ~(Rule.LONG | Rule.ENDED)


def faults(answer: str, question: str = "What?") -> Rule:
    text = f"{question}\n{answer}"
    row = Conversation((Turn(question, answer),), None, 1)
    return judge(row, text, text.encode(), finder(FAMILY_CONTROLS)) & FAULTS


@pytest.mark.parametrize(
    "answer",
    [
        "The quick brown fox jumps over the lazy dog.",
        "《红楼梦》是清代作家曹雪芹创作的长篇小说（共一百二十回）。",
        "«CAFÉ» déjà vu, naïve; München Straße — “ok”",
        "- first\n- second\n- a third item of the list",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "=" * 80,
        "Done :(",
        "锛子是一种木工工具。",
        "```python\nprint(1)\n```",
    ],
)
def test_texts_without_fault(answer):
    assert faults(answer) == Rule(0)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("A", Rule.ONE_CHARACTER),
        ("What?", Rule.ECHO),
        ("我认为这个问题的答案应该从以下几个方面来进行考虑，首先", Rule.UNFINISHED),
        ("Short (cut", Rule.UNCLOSED),
        ("答案是“不", Rule.UNCLOSED),
        ("```\ncode", Rule.UNCLOSED),
        ("锟斤拷锟斤拷", Rule.GARBLED),
        ("broken \ufffd here.", Rule.GARBLED),
        ("\u00ef\u00bb\u00bfHello.", Rule.GARBLED),
        ("ä½\xa0å¥½.", Rule.GARBLED),
        ("nul \x00 byte.", Rule.GARBLED),
        ("浣犲ソ锛屾垜鐨勫悕瀛�", Rule.GARBLED),
        ("哈" * 30 + "。", Rule.LOOP),
        ("我不知道。" * 12, Rule.LOOP),
        ("a </s> b.", Rule.CONTROL),
    ],
)
def test_faults(answer, fault):
    assert faults(answer) == fault
