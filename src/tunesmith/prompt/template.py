"""What a tokenizer's chat template makes of one question and its answer, as text.

Rendering Jinja for each of 100,000 rows is slow, so the template is rendered once with markers
and the texts of a row are put in their place, wherever the template passes texts through as
they are (or stripped). Rows it may treat otherwise are rendered one by one.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import RunFailure

# Of a tokenizer that has none. "Alpaca" prompts, in the shape of a chat template.
PLAIN_TEMPLATE = """\
{%- if add_bos %}{{ bos_token }}{% endif -%}
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}
{{ '### Instruction:\\n' + message['content'] + '\\n\\n' }}
{%- elif message['role'] == 'assistant' -%}
{{ '### Response:\\n' + message['content'] + eos_token + '\\n\\n' }}
{%- else -%}
{{ message['content'] + '\\n\\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '### Response:\\n' }}{%- endif -%}
"""

QUESTION, ANSWER = "TunesmithQuestion7", "TunesmithAnswer7"
# Around the markers, to see whether a template strips, escapes or rewrites texts.
ODD_START, ODD_END = " \n\t<b>&'\"{{ x }}\\n ", " {% y %}\n\nétude 汉字 </b> \n"

# A control token typed by somebody is carried through the template as one private character.
MASK_BASE = 0x10F000


@dataclass(frozen=True)
class Rendered:
    """The texts before and from the answer on, and how many control tokens the template wrote.

    `answer` ends with the end-of-turn token. In a masked one, control tokens within the
    conversation's texts are masked (`ChatTemplate.unmask`).
    """

    prompt: str
    answer: str
    controls: int


@dataclass(frozen=True)
class _Frame:
    """The template's own text around question and answer."""

    before_question: str
    after_question: str
    before_answer: str
    after_answer: str
    question: Callable[[str], str] | None
    """What the template does to a text; None if that is not known."""
    answer: Callable[[str], str] | None

    @property
    def fixed(self) -> str:
        parts = self.before_question, self.after_question, self.before_answer, self.after_answer
        return "\0".join(parts)


class ChatTemplate:
    """The chat template of `tokenizer`, with the system text of this run.

    Raises RunFailure `template_mismatch` if it cannot be used for training.
    """

    def __init__(self, tokenizer: Any, system_prompt: str | None) -> None:
        self._tokenizer = tokenizer
        self.is_plain = not tokenizer.chat_template
        if self.is_plain:
            tokenizer.chat_template = _plain_template(tokenizer)
        added = {token.content: token for token in tokenizer.added_tokens_decoder.values()}
        special = {*tokenizer.all_special_tokens}
        special |= {text for text, token in added.items() if token.special}
        self._set_controls(special)
        self._system = system_prompt
        frame = self._find_frame()
        # Tokens that a template uses to tell who speaks are control tokens in any case.
        self._set_controls(special | {text for text in added if text in frame.fixed})
        self._system = None if system_prompt is None else self.mask(system_prompt)
        frame = self._find_frame()
        self.end_token, self._frame = self._end_of_turn(frame)
        self._frame_controls = self._count_controls(self._frame.fixed)
        self._notices = _literals(tokenizer.get_chat_template())

    def render(self, question: str, answer: str) -> Rendered:
        """Return the texts of one sample, by substitution where that is the same."""
        frame = self._frame
        if (
            frame.question is None
            or frame.answer is None
            or self._notices.search(question)
            or self._notices.search(answer)
        ):
            return self._render_itself(self.mask(question), self.mask(answer))
        prompt = frame.before_question + frame.question(question) + frame.after_question
        learnt = frame.before_answer + frame.answer(answer) + frame.after_answer
        return Rendered(prompt, learnt, self._frame_controls)

    def render_masked(self, question: str, answer: str) -> Rendered:
        return self.render(self.mask(question), self.mask(answer))

    def render_prompt(self, question: str) -> str:
        """Return the masked prompt of `question`, up to where the answer begins."""
        return self._apply(self.mask(question), None)

    def mask(self, text: str) -> str:
        """Replace control tokens in `text` by characters that mean nothing to a tokenizer."""
        return self._control.sub(lambda match: self._masks[match.group()], text)

    def unmask(self, text: str) -> str:
        return self._masked.sub(lambda match: self._unmasks[match.group()], text)

    def is_masked(self, text: str) -> bool:
        return self._masked.search(text) is not None

    def split_controls(self, text: str) -> list[str]:
        """Split `text` at control tokens: plain text at even places, a token at odd ones."""
        return self._splitter.split(text)

    @property
    def control_tokens(self) -> tuple[str, ...]:
        return tuple(self._masks)

    def _set_controls(self, tokens: set[str]) -> None:
        # Longest first: the tokenizer, too, takes the longest token at a place.
        ordered = sorted(filter(None, tokens), key=lambda text: (-len(text), text))
        pattern = "|".join(map(re.escape, ordered)) or r"(?!)"
        self._control = re.compile(pattern)
        self._splitter = re.compile(f"({pattern})")
        self._masks = {text: chr(MASK_BASE + place) for place, text in enumerate(ordered)}
        self._unmasks = {character: text for text, character in self._masks.items()}
        self._masked = re.compile("[" + "".join(self._unmasks) + "]" if ordered else r"(?!)")

    def _count_controls(self, text: str) -> int:
        return sum(1 for _ in self._control.finditer(text))

    def _apply(self, question: str, answer: str | None) -> str:
        messages = [] if self._system is None else [{"role": "system", "content": self._system}]
        messages.append({"role": "user", "content": question})
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
        try:
            text = self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=answer is None
            )
        except Exception as error:  # Jinja's own, or whatever a template raises
            raise RunFailure("template_mismatch", reason=str(error)) from error
        return str(text)

    def _pair(self, question: str, answer: str) -> tuple[str, str]:
        prompt, full = self._apply(question, None), self._apply(question, answer)
        if not full.startswith(prompt):
            raise RunFailure(
                "template_mismatch",
                reason="a conversation with its answer does not begin with the prompt that "
                f"asks for the answer, which ends with {prompt[-60:]!r}",
            )
        return prompt, full[len(prompt) :]

    def _find_frame(self) -> _Frame:
        prompt, answer = self._pair(QUESTION, ANSWER)
        for text, marker, name in ((prompt, QUESTION, "question"), (answer, ANSWER, "answer")):
            if text.count(marker) != 1:
                reason = f"it shows the {name} {text.count(marker)} times instead of once"
                raise RunFailure("template_mismatch", reason=reason)
        before_question, _, after_question = prompt.partition(QUESTION)
        before_answer, _, after_answer = answer.partition(ANSWER)
        odd_prompt, odd_answer = self._pair(
            ODD_START + QUESTION + ODD_END, ODD_START + ANSWER + ODD_END
        )
        return _Frame(
            before_question,
            after_question,
            before_answer,
            after_answer,
            _treatment(odd_prompt, before_question, QUESTION, after_question),
            _treatment(odd_answer, before_answer, ANSWER, after_answer),
        )

    def _end_of_turn(self, frame: _Frame) -> tuple[str | None, _Frame]:
        """Return the token that ends an answer, and the frame without what comes after it."""
        found = self._control.search(frame.after_answer)
        if found:
            end, after = found.group(), frame.after_answer[: found.end()]
        else:  # The template ends a turn with the start of the next: learn to stop all the same.
            end = self._tokenizer.eos_token
            after = end or ""
        parts = frame.before_question, frame.after_question, frame.before_answer, after
        return end, _Frame(*parts, frame.question, frame.answer)

    def _render_itself(self, question: str, answer: str) -> Rendered:
        prompt, learnt = self._pair(question, answer)
        if self.end_token:
            head, end, _ = learnt.rpartition(self.end_token)
            learnt = head + end if end else learnt + self.end_token
        controls = self._count_controls(prompt) + self._count_controls(learnt)
        return Rendered(prompt, learnt, controls)


def _treatment(text: str, before: str, marker: str, after: str) -> Callable[[str], str] | None:
    odd = ODD_START + marker + ODD_END
    for treat in (str, str.strip):
        if text == before + treat(odd) + after:
            return treat
    return None


def _plain_template(tokenizer: Any) -> str:
    """PLAIN_TEMPLATE as this tokenizer needs it: a BOS only where it is used to one."""
    usual = tokenizer("a")["input_ids"]
    add_bos = tokenizer.bos_token_id is not None and usual[0] == tokenizer.bos_token_id
    template = PLAIN_TEMPLATE
    if not tokenizer.eos_token:
        template = template.replace(" + eos_token", "")
    return template.replace(
        "{%- if add_bos %}{{ bos_token }}{% endif -%}\n",
        "{{- bos_token -}}\n" if add_bos else "",
    )


def _literals(template: str) -> re.Pattern[str]:
    """Find texts that hold a literal of the template, such as `</think>` in `x in content`.

    Role names and other single words are no reason to suspect that a template looks at texts.
    """
    quoted = re.findall(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", template)
    texts = {(one or two).replace("\\n", "\n").strip() for one, two in quoted}
    odd = sorted(text for text in texts if len(text) > 2 and re.search(r"\W", text))
    return re.compile("|".join(map(re.escape, odd)) or r"(?!)")
