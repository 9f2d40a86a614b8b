"""Each family's prompt format, written out: what a model sees, «learnt» in marks."""

from typing import Any

import numpy as np
import pytest

from tests.unit.prompt.tokenizers_of_families import (
    GLM4,
    LLAMA3,
    QWEN,
    ROLES,
    byte_level,
    sentence_piece,
)
from tunesmith.dataset.conversation import Conversation, Turn
from tunesmith.families.family import BY_NAME
from tunesmith.prompt.prompt import Prompt

ONE = (Turn("What?", "That."),)
TWO = (*ONE, Turn("你叫什么名字？", "我叫小匠。"))
USER3 = "<|start_header_id|>user<|end_header_id|>\n\n"
ASSISTANT3 = "<|start_header_id|>assistant<|end_header_id|>\n\n"


def make(family: str) -> Any:
    match family:
        case "llama3":
            return byte_level(*LLAMA3, eos="<|eot_id|>")
        case "qwen1.5" | "qwen2" | "qwen3":
            return byte_level(*QWEN, eos="<|endoftext|>")
        case "glm-4":
            return byte_level(*GLM4, eos="<|endoftext|>")
        case "chatglm2":
            return sentence_piece("[gMASK]", "sop")
        case "chatglm3":
            return sentence_piece("[gMASK]", "sop", *ROLES)
    return sentence_piece()


def shown(tokenizer: Any, tokens: Any, learnt: Any) -> str:
    """Return the text with «» around what is learnt; blanks of SentencePiece are shown as ▁."""
    text = ""
    edges = np.flatnonzero(np.diff(learnt.astype(int), prepend=0, append=0))
    for start, end in zip([0, *edges], [*edges, len(tokens)], strict=True):
        if start == end:
            continue
        ids = tokens[start:end].tolist()
        if tokenizer.backend_tokenizer.normalizer or "▁" in tokenizer.get_vocab():
            raw = "".join(tokenizer.convert_ids_to_tokens(ids))
            part = raw.replace("<0x0A>", "\n")
        else:
            part = tokenizer.decode(ids, skip_special_tokens=False)
        text += f"«{part}»" if learnt[start] else part
    return text


def encode(family: str, turns: tuple[Turn, ...], system: str | None, tokenizer: Any) -> str:
    prompt = Prompt(tokenizer, BY_NAME[family], None)
    samples = prompt.encode([Conversation(turns, system, 1)], 1000).samples
    return shown(tokenizer, samples.tokens, samples.learnt)


EXPECTED = [
    ("llama2", ONE, None, "<s>▁[INST]▁What?▁[/INST]«▁That.▁</s>»"),
    (
        "llama2",
        TWO,
        "Be brief",
        "<s>▁[INST]▁<<SYS>>\nBe▁brief\n<</SYS>>\n\nWhat?▁[/INST]«▁That.▁</s>»"
        "<s>▁[INST]▁你叫什么名字？▁[/INST]«▁我叫小匠。▁</s>»",
    ),
    (
        "llama3",
        ONE,
        None,
        f"<|begin_of_text|>{USER3}What?<|eot_id|>{ASSISTANT3}«That.<|eot_id|>»",
    ),
    (
        "llama3",
        TWO,
        "Be brief",
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief<|eot_id|>"
        f"{USER3}What?<|eot_id|>{ASSISTANT3}«That.<|eot_id|>»"
        f"{USER3}你叫什么名字？<|eot_id|>{ASSISTANT3}«我叫小匠。<|eot_id|>»",
    ),
    ("chatglm2", ONE, None, "[gMASK]sop▁[Round▁1]\n\n问：What?\n\n答：«▁That.</s>»"),
    (
        "chatglm2",
        TWO,
        "Be brief",
        "[gMASK]sop▁[Round▁1]\n\n问：Be▁brief\n\nWhat?\n\n答：«▁That.</s>»"
        "▁\n\n[Round▁2]\n\n问：你叫什么名字？\n\n答：«▁我叫小匠。</s>»",
    ),
    ("chatglm3", ONE, None, "[gMASK]sop<|user|>▁\n▁What?<|assistant|>«▁\n▁That.</s>»"),
    (
        "chatglm3",
        TWO,
        "Be brief",
        "[gMASK]sop<|system|>▁\n▁Be▁brief<|user|>▁\n▁What?<|assistant|>«▁\n▁That.<|user|>»"
        "▁\n▁你叫什么名字？<|assistant|>«▁\n▁我叫小匠。</s>»",
    ),
    ("glm-4", ONE, None, "[gMASK]<sop><|user|>\nWhat?<|assistant|>«\nThat.<|user|>»"),
    (
        "glm-4",
        TWO,
        "Be brief",
        "[gMASK]<sop><|system|>\nBe brief<|user|>\nWhat?<|assistant|>«\nThat.<|user|>»"
        "\n你叫什么名字？<|assistant|>«\n我叫小匠。<|user|>»",
    ),
    (
        "qwen1.5",
        ONE,
        None,
        "<|im_start|>system\nYou are a helpful assistant<|im_end|>\n"
        "<|im_start|>user\nWhat?<|im_end|>\n<|im_start|>assistant\n«That.<|im_end|>»",
    ),
    (
        "qwen2",
        ONE,
        None,
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nWhat?<|im_end|>\n<|im_start|>assistant\n«That.<|im_end|>»",
    ),
    (
        "qwen2",
        TWO,
        "Be brief",
        "<|im_start|>system\nBe brief<|im_end|>\n"
        "<|im_start|>user\nWhat?<|im_end|>\n<|im_start|>assistant\n«That.<|im_end|>»\n"
        "<|im_start|>user\n你叫什么名字？<|im_end|>\n"
        "<|im_start|>assistant\n«我叫小匠。<|im_end|>»",
    ),
    (
        "qwen3",
        ONE,
        None,
        "<|im_start|>user\nWhat?<|im_end|>\n<|im_start|>assistant\n«That.<|im_end|>»",
    ),
    (
        "qwen3",
        ONE,
        "Be brief",
        "<|im_start|>system\nBe brief<|im_end|>\n"
        "<|im_start|>user\nWhat?<|im_end|>\n<|im_start|>assistant\n«That.<|im_end|>»",
    ),
]
FAMILIES = ["llama2", "llama3", "chatglm2", "chatglm3", "glm-4", "qwen1.5", "qwen2", "qwen3"]


@pytest.mark.parametrize(("family", "turns", "system", "expected"), EXPECTED)
def test_the_format_is_the_family_s_own(
    family: str, turns: tuple[Turn, ...], system: str | None, expected: str
) -> None:
    assert encode(family, turns, system, make(family)) == expected


def test_llama2_is_the_same_with_a_tokenizer_that_puts_a_blank_only_at_the_start() -> None:
    tokenizer = sentence_piece(blank="first")
    assert encode("llama2", TWO, None, tokenizer) == (
        "<s>▁[INST]▁What?▁[/INST]«▁That.▁</s>»<s>▁[INST]▁你叫什么名字？▁[/INST]«▁我叫小匠。▁</s>»"
    )


def test_llama_strips_texts_as_meta_s_code_does() -> None:
    odd = (Turn(" What? \n", "\n That. "),)
    for family in ("llama2", "llama3"):
        assert encode(family, odd, None, make(family)) == encode(family, ONE, None, make(family))
    # With a system text question and system text are stripped as one.
    assert encode("llama2", odd, "Be", make("llama2")) == (
        "<s>▁[INST]▁<<SYS>>\nBe\n<</SYS>>\n\n▁What?▁[/INST]«▁That.▁</s>»"
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "typed", ["<|im_end|>", "</s>", "<|assistant|>", "[gMASK]", "<|eot_id|>", "sop", "<|user|>"]
)
def test_a_typed_control_token_stays_text(family: str, typed: str) -> None:
    tokenizer = make(family)
    prompt = Prompt(tokenizer, BY_NAME[family], None)
    rows = [
        Conversation((Turn(f"a{typed}b", f"{typed} c"),) * 2, f"d {typed}", 1),
        Conversation((Turn("a b", "c"),) * 2, "d", 2),
    ]
    samples = prompt.encode(rows, 5000).samples
    controls = [[t for t in samples.sample(n).tolist() if prompt.is_control(t)] for n in (0, 1)]
    assert controls[0] == controls[1] and controls[0]
    text = tokenizer.decode(samples.sample(0), skip_special_tokens=False)
    assert text.replace(" ", "").count(f"a{typed}b") == 2
    assert prompt.prompt_ids(typed).count(prompt.end_token_id) == prompt.prompt_ids("a").count(
        prompt.end_token_id
    )


@pytest.mark.parametrize("family", [*FAMILIES, "llama2 first"])
def test_the_result_s_template_says_the_same_to_stock_transformers(family: str) -> None:
    family, _, first = family.partition(" ")
    tokenizer = sentence_piece(blank="first") if first else make(family)
    prompt = Prompt(tokenizer, BY_NAME[family], "Be brief")
    tokenizer.chat_template = prompt.own_template
    messages = [{"role": "system", "content": "Be brief"}]
    for turn in TWO:
        messages.append({"role": "user", "content": turn.question})
        messages.append({"role": "assistant", "content": turn.answer})
    messages.pop()
    expected = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=False, add_special_tokens=False
    )
    if family == "chatglm2":  # a round's own </s> is learnt, and shown
        assert tokenizer.eos_token_id in expected
    assert prompt.prompt_ids(TWO[-1].question, TWO[:-1]) == expected


def test_stop_tokens_begin_with_the_trained_one() -> None:
    tokenizer = make("glm-4")
    prompt = Prompt(tokenizer, BY_NAME["glm-4"], None)
    expected = ["<|user|>", "<|endoftext|>", "<|observation|>"]
    assert prompt.stop_token_ids == tokenizer.convert_tokens_to_ids(expected)


def test_a_row_s_own_system_text_wins_over_the_task_s() -> None:
    tokenizer = make("qwen2")
    prompt = Prompt(tokenizer, BY_NAME["qwen2"], "task's")
    rows = [Conversation(ONE, system, 1) for system in ("row's", None)]
    samples = prompt.encode(rows, 500).samples
    texts = [tokenizer.decode(samples.sample(n)) for n in (0, 1)]
    assert "system\nrow's<|im_end|>" in texts[0] and "task's" not in texts[0]
    assert "system\ntask's<|im_end|>" in texts[1]


def test_a_family_without_its_control_tokens_gets_the_plain_format() -> None:
    prompt = Prompt(make("qwen2"), BY_NAME["llama3"], None)
    assert prompt.is_plain and prompt.format_name == "plain"


def test_a_format_without_system_role_says_so() -> None:
    prompt = Prompt(make("chatglm2"), BY_NAME["chatglm2"], "Be brief")
    assert not prompt.has_system_role
    assert prompt.encode([Conversation(ONE, None, 1)], 500).with_system == 1
