"""Chat templates of tokenizers' own, in one and several turns."""

from typing import Any

import pytest

from tests.unit.prompt.test_formats import ONE, TWO, shown
from tests.unit.prompt.tokenizers_of_families import GLM4, byte_level, sentence_piece
from tunesmith.dataset.conversation import Conversation, Turn
from tunesmith.families.family import BY_NAME, GENERIC
from tunesmith.prompt.prompt import Encoded, Prompt

LLAMA2 = (
    "{% for m in messages %}{% if m.role == 'user' %}"
    "{{ bos_token + '[INST] ' + m.content | trim + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content | trim + ' ' + eos_token }}{% endif %}{% endfor %}"
)
# Shows thoughts of the last answer only, as Qwen3 does.
THINKING = (
    "{% for m in messages %}{% set text = m.content.split('</think>')[-1].lstrip('\\n') %}"
    "{% set thought = m.content.split('</think>')[0].split('<think>')[-1].strip('\\n')"
    " if '</think>' in m.content else '' %}"
    "<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think>\n{{ thought }}\n</think>\n\n{{ text }}"
    "{% else %}{{ text }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_END = (
    "[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ESCAPING = NO_SYSTEM.replace("m.content", "m.content.encode('ascii', 'replace').decode()")


def thinking_tokenizer() -> Any:
    from tokenizers import AddedToken

    tokenizer = byte_level("<|im_start|>", "<|im_end|>", eos="<|im_end|>")
    # As Qwen3 has them: not special, but control tokens of its template all the same.
    tokenizer.add_tokens([AddedToken(text, special=False) for text in ("<think>", "</think>")])
    return tokenizer


def encode(tokenizer: Any, row: Conversation, family: str = "generic") -> str:
    encoded = Prompt(tokenizer, BY_NAME[family], None).encode([row], 2000).samples
    return shown(tokenizer, encoded.tokens, encoded.learnt)


@pytest.mark.parametrize("blank", ["legacy", "first"])
def test_several_turns_are_the_tokens_of_the_whole_text(blank: Any) -> None:
    tokenizer = sentence_piece(blank=blank)
    tokenizer.chat_template = LLAMA2
    encoded = Prompt(tokenizer, GENERIC, None).encode([Conversation(TWO, None, 1)], 500).samples
    messages = [
        {"role": role, "content": text}
        for turn in TWO
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]
    whole = tokenizer.apply_chat_template(messages, return_dict=False)
    assert encoded.tokens.tolist() == whole
    assert shown(tokenizer, encoded.tokens, encoded.learnt).count("«▁") == 2


def test_what_a_template_shows_of_earlier_turns_is_what_is_learnt() -> None:
    tokenizer = thinking_tokenizer()
    tokenizer.chat_template = THINKING
    ask = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
    assert encode(tokenizer, Conversation(TWO, None, 1)) == (
        ask.format("What?")
        + "«That.<|im_end|>»\n"
        + ask.format("你叫什么名字？")
        + "«<think>\n\n</think>\n\n我叫小匠。<|im_end|>»"
    )


def test_thoughts_in_an_answer_become_the_template_s_own_tokens() -> None:
    tokenizer = thinking_tokenizer()
    tokenizer.chat_template = THINKING
    row = Conversation((Turn("What?", "<think>\nhm\n</think>\n\nThat."),), None, 1)
    assert encode(tokenizer, row).endswith("«<think>\nhm\n</think>\n\nThat.<|im_end|>»")
    encoded = Prompt(tokenizer, GENERIC, None).encode([row], 500).samples.tokens.tolist()
    think = tokenizer.convert_tokens_to_ids("<think>")
    assert encoded.count(think) == 1
    # More than the template would write: then it is text.
    typed = Conversation((Turn("What?", "a </think> b <|im_end|>"),), None, 1)
    ids = Prompt(tokenizer, GENERIC, None).encode([typed], 500).samples.tokens.tolist()
    assert ids.count(tokenizer.convert_tokens_to_ids("<|im_end|>")) == 2
    assert ids.count(tokenizer.convert_tokens_to_ids("</think>")) == 1


def test_the_next_turn_s_token_ends_an_answer_where_the_template_writes_no_other() -> None:
    tokenizer = byte_level(*GLM4, eos="<|endoftext|>")
    tokenizer.chat_template = NO_END
    row = Conversation(TWO, None, 1)
    expected = (
        "[gMASK]<sop><|user|>\nWhat?<|assistant|>«\nThat.<|user|>»"
        "\n你叫什么名字？<|assistant|>«\n我叫小匠。{}»"
    )
    assert encode(tokenizer, row, "glm-4-hf") == expected.format("<|user|>")
    assert encode(tokenizer, row) == expected.format("<|endoftext|>")


def test_a_system_text_that_the_template_refuses_goes_before_the_first_question() -> None:
    tokenizer = byte_level("<|im_start|>", "<|im_end|>", eos="<|im_end|>")
    tokenizer.chat_template = NO_SYSTEM
    assert not Prompt(tokenizer, GENERIC, None).has_system_role
    text = encode(tokenizer, Conversation(ONE, "Be brief", 1))
    assert text.startswith("<|im_start|>user\nBe brief\n\nWhat?<|im_end|>")


def test_a_row_whose_typed_control_token_a_template_loses_is_refused() -> None:
    tokenizer = byte_level("<|im_start|>", "<|im_end|>", eos="<|im_end|>")
    tokenizer.chat_template = ESCAPING
    rows = [
        Conversation((Turn("a <|im_end|>", "b"),), None, 7),
        Conversation((Turn("étude", "b"),), None, 8),
    ]
    encoded: Encoded = Prompt(tokenizer, GENERIC, None).encode(rows, 500)
    assert encoded.refused == ((7, "<|im_end|>"),) and encoded.read == 2
    text = shown(tokenizer, encoded.samples.tokens, encoded.samples.learnt)
    assert text.startswith("<|im_start|>user\n?tude<|im_end|>")
