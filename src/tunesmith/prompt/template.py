"""What a tokenizer's chat template makes of a conversation, as pieces.

Rendering Jinja for each of 100,000 rows is slow, so the template is rendered once per shape of
conversation with markers in the place of the texts, wherever it passes texts through as they
are (or stripped). Rows that it may treat otherwise are rendered one by one.
"""

import itertools
import re
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from tunesmith.dataset.conversation import Conversation, Turn
from tunesmith.errors import RunFailure
from tunesmith.prompt.pieces import Content, Control, Piece, Shape, Span, finish

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

# Around the markers, to see whether a template strips, escapes or rewrites texts.
ODD_START, ODD_END = " \n\t<b>&'\"{{ x }}\\n ", " {% y %}\n\nétude 汉字 </b> \n"

# A control token typed by somebody is carried through the template as one private character.
MASK_BASE = 0x10F000

Treat = Callable[[str], str]
TREATMENTS: tuple[Treat, ...] = (str, str.strip, str.rstrip, str.lstrip)


class RowAltered(Exception):
    """The template changes this row's texts so that `token`, typed in them, cannot be kept apart.

    Never leaves this package: the row is refused.
    """

    def __init__(self, token: str) -> None:
        super().__init__(token)
        self.token = token


class ChatTemplate:
    """The chat template of `tokenizer`; answers end with `stop` where it writes no end token.

    Raises RunFailure `template_mismatch` if it cannot be used for training.
    """

    def __init__(self, tokenizer: Any, stop: str | None = None) -> None:
        self._tokenizer = tokenizer
        added = {token.content: token for token in tokenizer.added_tokens_decoder.values()}
        self._added = added
        special = {*tokenizer.all_special_tokens}
        special |= {text for text, token in added.items() if token.special}
        self._set_controls(special)
        self._check_pair()
        self.has_system_role = self._shows_system()
        fixed = self._render(marked(Shape(2, self.has_system_role), lenient=self._one_turn()))
        # Tokens that a template uses to tell who speaks are control tokens in any case.
        self._set_controls(special | {text for text in added if text in fixed})
        self._notices = _literals(tokenizer.get_chat_template())
        self._stop = stop or tokenizer.eos_token
        self._opens_after_control = True
        self._shapes: dict[Shape, tuple[tuple[Piece, ...], bool]] = {}

    @property
    def control_tokens(self) -> tuple[str, ...]:
        return tuple(self._masks)

    def opens_after_control(self, opens: bool) -> None:
        """Tell whether the tokenizer begins a text anew after a control token."""
        self._opens_after_control = opens
        self._shapes.clear()

    def shape(self, shape: Shape) -> tuple[Piece, ...]:
        """Return the pieces of conversations of this shape."""
        return self._shape(shape)[0]

    def row(self, conversation: Conversation, shape: Shape) -> tuple[Piece, ...] | None:
        """Return the pieces of this row alone; None if they are those of its `shape`.

        Raises RowAltered.
        """
        _, passes = self._shape(shape)
        if passes and not any(map(self._notices.search, _texts(conversation))):
            return None
        return self._rendered_row(conversation)

    def _shape(self, shape: Shape) -> tuple[tuple[Piece, ...], bool]:
        """Return its pieces, and whether contents pass through the template as these say."""
        if shape not in self._shapes:
            conversation = marked(shape)
            text = self._render(conversation)
            for marker in _texts(conversation):
                if text.count(marker) != 1:
                    reason = f"it shows the {_name(marker)} {text.count(marker)} times"
                    raise RunFailure("template_mismatch", reason=f"{reason} instead of once")
            learnt = self._learnt_by_markers(conversation, text)
            treat = self._treatments(shape, text)
            pieces = self._pieces(text, learnt, _contents(shape, treat or {}))
            self._shapes[shape] = pieces, treat is not None
        return self._shapes[shape]

    def _learnt_by_markers(self, conversation: Conversation, text: str) -> list[tuple[int, int]]:
        """Return where each answer and what ends it lie in the rendered markers."""
        spans: list[tuple[int, int]] = []
        for place, turn in enumerate(conversation.turns):
            marker = text.index(turn.answer)
            prompt = self._render(conversation, place)
            begin = self._after_prompt(prompt, text, turn.question, marker)
            after = marker + len(turn.answer)
            rest = (
                text.find(conversation.turns[place + 1].question)
                if place + 1 < len(conversation.turns)
                else len(text)
            )
            end = self._control.search(text, after, rest)
            spans.append((begin, end.end() if end else after))
        return spans

    @staticmethod
    def _after_prompt(prompt: str, text: str, question: str, marker: int) -> int:
        """Return where what the model writes begins: behind what a prompt ends with."""
        if text.startswith(prompt):
            return len(prompt)
        # An earlier turn that is shown otherwise than when it was the last one.
        ending = prompt.rpartition(question)[2]
        start = text.index(question) + len(question)
        return start + len(ending) if text.startswith(ending, start) else marker

    def _treatments(self, shape: Shape, text: str) -> dict[tuple[str, int], Treat] | None:
        """Return what the template does to each text; None if it is none of TREATMENTS."""
        conversation = marked(shape)
        odd = Conversation(
            tuple(Turn(_odd(turn.question), _odd(turn.answer)) for turn in conversation.turns),
            None if conversation.system is None else _odd(conversation.system),
            0,
        )
        try:
            found = self._render(odd)
        except RunFailure:
            return None
        for system, first, question, answer in itertools.product(TREATMENTS, repeat=4):
            expected = text
            treat: dict[tuple[str, int], Treat] = {("system", 0): system}
            if conversation.system is not None:
                expected = expected.replace(conversation.system, system(odd.system or ""))
            for place, (plain, strange) in enumerate(
                zip(conversation.turns, odd.turns, strict=True)
            ):
                treat["question", place] = question if place else first
                treat["answer", place] = answer
                changed = treat["question", place](strange.question)
                expected = expected.replace(plain.question, changed)
                expected = expected.replace(plain.answer, answer(strange.answer))
            if expected == found:
                return treat
        return None

    def _rendered_row(self, conversation: Conversation) -> tuple[Piece, ...]:
        """Render this row itself; control tokens may only be the template's own."""
        skeleton = self.shape(shape_of(conversation))
        typed = [self._control.search(text) for text in _texts(conversation)]
        if first := next(filter(None, typed), None):
            # Thoughts in an answer: the template takes them out and writes its own tokens.
            own = self._control.findall(self._render(marked(shape_of(conversation))))
            if self._control.findall(self._render(conversation)) == own:
                return self._row_pieces(conversation, skeleton)
            hidden = self._masked_conversation(conversation)
            text = self._render(hidden)
            if sum(map(text.count, self._unmasks)) != sum(
                sum(map(each.count, self._unmasks)) for each in _texts(hidden)
            ):
                raise RowAltered(first.group())
            conversation = hidden
        return self._row_pieces(conversation, skeleton)

    def _row_pieces(
        self, conversation: Conversation, skeleton: tuple[Piece, ...]
    ) -> tuple[Piece, ...]:
        text = self._render(conversation)
        ends = _controls_per_answer(skeleton)
        spans: list[tuple[int, int]] = []
        for place, controls in enumerate(ends):
            prompt = self._render(conversation, place)
            if not text.startswith(prompt):
                self._lost()
            found = list(itertools.islice(self._control.finditer(text, len(prompt)), controls))
            last = place == len(ends) - 1
            if len(found) < controls and not last:
                self._lost()
            spans.append((len(prompt), found[-1].end() if found else len(text)))
        return self._pieces(text, spans, {})

    @staticmethod
    def _lost() -> NoReturn:
        reason = "the answers of a conversation cannot be found in what it makes of it"
        raise RunFailure("template_mismatch", reason=reason)

    def _pieces(
        self, text: str, learnt: list[tuple[int, int]], contents: dict[str, Content]
    ) -> tuple[Piece, ...]:
        """Cut `text` at control tokens and where answers begin and end."""
        pieces: list[Piece] = []
        begins = {start for start, _ in learnt}
        cuts = sorted({0, len(text), *begins, *(end for _, end in learnt)})
        fresh = True  # at the very start of the text
        for start, end in itertools.pairwise(cuts):
            is_learnt = any(first <= start < last for first, last in learnt)
            opens = fresh
            parts = self._splitter.split(text[start:end])
            for place, part in enumerate(parts):
                if place % 2:
                    pieces.append(Control(part, is_learnt))
                    opens = self._opens_after_control
                    continue
                if place == 0 and start in begins:  # as the model goes on after its prompt
                    after_control = bool(pieces) and isinstance(pieces[-1], Control)
                    opens = after_control and self._opens_after_control
                before = parts[place - 1] if place else self._control_before(pieces, start, begins)
                after = parts[place + 1] if place + 1 < len(parts) else None
                trimmed = self._trim(part, before, after)
                if trimmed:
                    pieces.append(Span(self._places(trimmed, contents), is_learnt, opens))
            # What comes next goes on here, unless a control token was the last.
            fresh = not parts[-1] and len(parts) > 1 and self._opens_after_control
        ended = [place for place, piece in enumerate(pieces) if piece.learnt]
        if ended and isinstance(pieces[ended[-1]], Span) and self._stop:
            pieces[ended[-1] + 1 :] = [Control(self._stop, learnt=True)]
        return finish(pieces)

    @staticmethod
    def _control_before(pieces: list[Piece], start: int, begins: set[int]) -> str | None:
        if start in begins or not pieces or not isinstance(pieces[-1], Control):
            return None
        return pieces[-1].token

    def _trim(self, text: str, before: str | None, after: str | None) -> str:
        """Drop the blanks that the control tokens around `text` swallow."""
        if before in self._added and self._added[before].rstrip:
            text = text.lstrip()
        if after in self._added and self._added[after].lstrip:
            text = text.rstrip()
        return text

    def _places(self, text: str, contents: dict[str, Content]) -> tuple[str | Content, ...]:
        if not contents:
            return (self._masked.sub(lambda found: self._unmasks[found.group()], text),)
        pattern = "|".join(map(re.escape, contents))
        parts = re.split(f"({pattern})", text)
        return tuple(contents.get(part, part) for part in parts if part)

    def _masked_conversation(self, conversation: Conversation) -> Conversation:
        def mask(text: str) -> str:
            return self._control.sub(lambda match: self._masks[match.group()], text)

        turns = tuple(Turn(mask(turn.question), mask(turn.answer)) for turn in conversation.turns)
        system = None if conversation.system is None else mask(conversation.system)
        return Conversation(turns, system, conversation.line)

    def _set_controls(self, tokens: set[str]) -> None:
        # Longest first: the tokenizer, too, takes the longest token at a place.
        ordered = sorted(filter(None, tokens), key=lambda text: (-len(text), text))
        pattern = "|".join(map(re.escape, ordered)) or r"(?!)"
        self._control = re.compile(pattern)
        self._splitter = re.compile(f"({pattern})")
        self._masks = {text: chr(MASK_BASE + place) for place, text in enumerate(ordered)}
        self._unmasks = {character: text for text, character in self._masks.items()}
        self._masked = re.compile("[" + "".join(self._unmasks) + "]" if ordered else r"(?!)")

    def _render(self, conversation: Conversation, prompt_of_turn: int | None = None) -> str:
        """Return the text of all turns, or that of the prompt for one turn's answer."""
        messages = []
        if conversation.system is not None:
            messages.append({"role": "system", "content": conversation.system})
        for place, turn in enumerate(conversation.turns):
            messages.append({"role": "user", "content": turn.question})
            if place == prompt_of_turn:
                break
            messages.append({"role": "assistant", "content": turn.answer})
        try:
            text = self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=prompt_of_turn is not None
            )
        except Exception as error:  # Jinja's own, or whatever a template raises
            raise RunFailure("template_mismatch", reason=str(error)) from error
        return str(text)

    def _check_pair(self) -> None:
        pair = marked(Shape(1, False))
        prompt, full = self._render(pair, 0), self._render(pair)
        if not full.startswith(prompt):
            raise RunFailure(
                "template_mismatch",
                reason="a conversation with its answer does not begin with the prompt that "
                f"asks for the answer, which ends with {prompt[-60:]!r}",
            )

    def _shows_system(self) -> bool:
        conversation = marked(Shape(1, True))
        try:
            return conversation.system is not None and conversation.system in self._render(
                conversation
            )
        except RunFailure:
            return False

    def _one_turn(self) -> bool:
        """Whether the template refuses a second turn."""
        try:
            self._render(marked(Shape(2, False)))
        except RunFailure:
            return True
        return False


def shape_of(conversation: Conversation) -> Shape:
    return Shape(len(conversation.turns), conversation.system is not None)


def marked(shape: Shape, lenient: bool = False) -> Conversation:
    """Return a conversation of this shape (of one turn if `lenient`) whose texts are markers."""
    turns = 1 if lenient else shape.turns
    pairs = (Turn(f"TunesmithQuestion{n}Z", f"TunesmithAnswer{n}Z") for n in range(turns))
    return Conversation(tuple(pairs), "TunesmithSystem0Z" if shape.system else None, 0)


def plain_template(tokenizer: Any) -> str:
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


def _contents(shape: Shape, treat: dict[tuple[str, int], Treat]) -> dict[str, Content]:
    conversation = marked(shape)
    found: dict[str, Content] = {}
    if conversation.system is not None:
        found[conversation.system] = Content("system", 0, treat.get(("system", 0), str))
    for place, turn in enumerate(conversation.turns):
        found[turn.question] = Content("question", place, treat.get(("question", place), str))
        found[turn.answer] = Content("answer", place, treat.get(("answer", place), str))
    return found


def _texts(conversation: Conversation) -> Iterable[str]:
    if conversation.system is not None:
        yield conversation.system
    for turn in conversation.turns:
        yield from turn


def _controls_per_answer(skeleton: tuple[Piece, ...]) -> list[int]:
    """Return how many control tokens the learnt pieces of each turn have."""
    runs = [list(run) for learnt, run in itertools.groupby(skeleton, lambda p: p.learnt) if learnt]
    return [sum(isinstance(piece, Control) for piece in run) for run in runs]


def _odd(text: str) -> str:
    return ODD_START + text + ODD_END


def _name(marker: str) -> str:
    return re.sub(r"Tunesmith|\d+Z", "", marker).lower()


def _literals(template: str) -> re.Pattern[str]:
    """Find texts that hold a literal of the template, such as `</think>` in `x in content`.

    Role names and other single words are no reason to suspect that a template looks at texts.
    """
    quoted = re.findall(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", template)
    texts = {(one or two).replace("\\n", "\n").strip() for one, two in quoted}
    odd = sorted(text for text in texts if len(text) > 2 and re.search(r"\W", text))
    return re.compile("|".join(map(re.escape, odd)) or r"(?!)")
