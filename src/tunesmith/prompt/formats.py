"""The prompt formats of the known families, exactly as their makers wrote them.

Each function returns the pieces of a conversation of one shape. Learnt are the answers and the
token that ends each. Pure.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tunesmith.families import PromptFormat
from tunesmith.prompt.pieces import Content, Control, Piece, Shape, Span


@dataclass(frozen=True)
class Format:
    """A family's format: its pieces, and the same as a chat template for other programs."""

    pieces: Callable[[Shape], list[Piece]]
    template: str
    """Jinja. `OPEN` in it stands for what makes a tokenizer begin a text of its own."""
    controls: tuple[str, ...]
    """The control tokens it cannot do without."""
    has_system_role: bool = True


def _llama2(shape: Shape) -> list[Piece]:
    """Meta's code: each turn is a text of its own; question and system text stripped as one."""
    pieces: list[Piece] = []
    for turn in range(shape.turns):
        question = Content("question", turn, str.strip)
        parts: tuple[str | Content, ...] = (question,)
        if shape.system and turn == 0:
            question = Content("question", turn, str.rstrip)
            parts = ("<<SYS>>\n", Content("system"), "\n<</SYS>>\n\n", question)
        answer = Content("answer", turn, str.strip)
        pieces += [
            Control("<s>"),
            Span(("[INST] ", *parts, " [/INST]")),
            Span((" ", answer, " "), learnt=True, opens=False),
            Control("</s>", learnt=True),
        ]
    return pieces


def _llama3(shape: Shape) -> list[Piece]:
    def head(role: str) -> list[Piece]:
        return [Control("<|start_header_id|>"), Span((role,)), Control("<|end_header_id|>")]

    pieces: list[Piece] = [Control("<|begin_of_text|>")]
    if shape.system:
        text = Span(("\n\n", Content("system", treat=str.strip)))
        pieces += [*head("system"), text, Control("<|eot_id|>")]
    for turn in range(shape.turns):
        question = Span(("\n\n", Content("question", turn, str.strip)))
        answer = Span((Content("answer", turn, str.strip),), learnt=True, opens=False)
        pieces += [*head("user"), question, Control("<|eot_id|>")]
        pieces += [*head("assistant"), Span(("\n\n",)), answer, Control("<|eot_id|>", learnt=True)]
    return pieces


def _chatglm2(shape: Shape) -> list[Piece]:
    """No system role. Answers are encoded apart, as in its own training code."""
    pieces: list[Piece] = [Control("[gMASK]"), Control("sop")]
    for turn in range(shape.turns):
        before = "\n\n" if turn else ""
        question = Content("question", turn)
        pieces += [
            Span((f"{before}[Round {turn + 1}]\n\n问：", question, "\n\n答：")),
            Span((Content("answer", turn),), learnt=True),
            Control("</s>", learnt=True),
        ]
    return pieces


def _chatglm3(shape: Shape) -> list[Piece]:
    """Role, newline and text are encoded apart; the next role's token ends an answer."""
    pieces: list[Piece] = [Control("[gMASK]"), Control("sop")]
    if shape.system:
        pieces += [Control("<|system|>"), Span(("\n",)), Span((Content("system"),))]
    for turn in range(shape.turns):
        pieces += [
            Control("<|user|>", learnt=turn > 0),
            Span(("\n",)),
            Span((Content("question", turn),)),
            Control("<|assistant|>"),
            Span(("\n",), learnt=True),
            Span((Content("answer", turn),), learnt=True),
        ]
    return [*pieces, Control("</s>", learnt=True)]


def _glm4(shape: Shape) -> list[Piece]:
    """The user's next turn ends an answer, the last one's too."""
    pieces: list[Piece] = [Control("[gMASK]"), Control("<sop>")]
    if shape.system:
        pieces += [Control("<|system|>"), Span(("\n", Content("system")))]
    for turn in range(shape.turns):
        pieces += [
            Control("<|user|>", learnt=turn > 0),
            Span(("\n", Content("question", turn))),
            Control("<|assistant|>"),
            Span(("\n", Content("answer", turn)), learnt=True),
        ]
    return [*pieces, Control("<|user|>", learnt=True)]


def _chatml(default_system: str | None) -> Callable[[Shape], list[Piece]]:
    """Qwen's; None where a conversation without system text begins with the question (Qwen3)."""

    def pieces_of(shape: Shape) -> list[Piece]:
        system = Content("system") if shape.system else default_system
        start, end = Control("<|im_start|>"), Control("<|im_end|>")
        newline = Span(("\n",))
        pieces: list[Piece] = []
        if system is not None:
            pieces += [start, Span(("system\n", system)), end, newline]
        for turn in range(shape.turns):
            pieces += [
                *(start, Span(("user\n", Content("question", turn))), end, newline),
                *(start, Span(("assistant\n",))),
                Span((Content("answer", turn),), learnt=True, opens=False),
                *(Control("<|im_end|>", learnt=True), newline),
            ]
        return pieces

    return pieces_of


_HEAD = "{%- set system = messages[0]['content'] if messages[0]['role'] == 'system' else none %}\n"
_TURNS = "{%- for message in messages if message['role'] != 'system' %}\n"
_USER = "{%- if message['role'] == 'user' %}\n"
_END = "{%- endif %}\n{%- endfor %}\n"

_LLAMA2 = (
    _HEAD
    + _TURNS
    + _USER
    + "{%- set text = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + message['content']"
    " if loop.first and system is not none else message['content'] %}\n"
    "{{- '<s>OPEN[INST] ' + text | trim + ' [/INST]' }}\n"
    "{%- else %}\n"
    "{{- ' ' + message['content'] | trim + ' </s>' }}\n" + _END
)
_LLAMA3 = (
    "{{- '<|begin_of_text|>' }}\n"
    "{%- for message in messages %}\n"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'"
    " + message['content'] | trim + '<|eot_id|>' }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}\n"
)
_CHATGLM2 = (
    _HEAD
    + "{{- '[gMASK]sop' }}\n"
    + "{%- set count = namespace(round=0) %}\n"
    + _TURNS
    + _USER
    + "{%- set count.round = count.round + 1 %}\n"
    "{%- set text = system + '\\n\\n' + message['content']"
    " if loop.first and system is not none else message['content'] %}\n"
    "{{- ('\\n\\n' if count.round > 1 else '') + '[Round ' + count.round | string"
    " + ']\\n\\n问：' + text + '\\n\\n答：' }}\n"
    "{%- else %}\n"
    "{{- ' ' + message['content'] + '</s>' }}\n" + _END
)
_CHATGLM3 = (
    "{{- '[gMASK]sop' }}\n"
    "{%- for message in messages %}\n"
    "{{- '<|' + message['role'] + '|>\\n ' + message['content'] }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}{{- '<|assistant|>' }}{%- endif %}\n"
)
_GLM4 = (
    "{{- '[gMASK]<sop>' }}\n"
    "{%- for message in messages %}\n"
    "{{- '<|' + message['role'] + '|>\\n' + message['content'] }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}{{- '<|assistant|>' }}{%- endif %}\n"
)
_CHATML_DEFAULT = (
    "{%- if messages[0]['role'] != 'system' %}"
    "{{- '<|im_start|>system\\nDEFAULT<|im_end|>\\n' }}{%- endif %}\n"
)
_CHATML = (
    "{%- for message in messages %}\n"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}\n"
)
_QWEN = "You are a helpful assistant"  # with a full stop from Qwen2 on
_GLM_ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
_HEADERS = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
_IM = ("<|im_start|>", "<|im_end|>")

# "plain" is said by a chat template only (`template.PLAIN_TEMPLATE`).
FORMATS: dict[PromptFormat, Format] = {
    "llama2": Format(_llama2, _LLAMA2, ("<s>", "</s>")),
    "llama3": Format(_llama3, _LLAMA3, _HEADERS),
    "chatglm2": Format(_chatglm2, _CHATGLM2, ("[gMASK]", "sop", "</s>"), has_system_role=False),
    "chatglm3": Format(_chatglm3, _CHATGLM3, ("[gMASK]", "sop", *_GLM_ROLES, "</s>")),
    "glm-4": Format(_glm4, _GLM4, ("[gMASK]", "<sop>", *_GLM_ROLES)),
    "qwen1.5": Format(_chatml(_QWEN), _CHATML_DEFAULT.replace("DEFAULT", _QWEN) + _CHATML, _IM),
    "qwen2": Format(
        _chatml(_QWEN + "."), _CHATML_DEFAULT.replace("DEFAULT", _QWEN + ".") + _CHATML, _IM
    ),
    "qwen3": Format(_chatml(None), _CHATML, _IM),
}
