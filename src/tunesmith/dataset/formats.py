"""One parsed row, in whatever format, -> a Conversation. Pure.

The format is recognised by the row's keys, row by row. Raises RowProblem.
"""

from typing import Any

from tunesmith.dataset.conversation import Conversation, Turn
from tunesmith.dataset.row_problem import RowProblem, json_type

KNOWN_FORMATS = (
    "instruction + output",
    "messages",
    "conversations",
    "prompt + completion",
    "query + response",
)
KNOWN_KEYS = (
    *("instruction", "input", "output", "history", "system"),
    *("query", "response", "messages", "conversations", "prompt", "completion"),
)
ROLES = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "system": "system",
}
TOOL_ROLES = {"tool", "function", "observation", "function_call", "tool_call", "tool_response"}
MOST_SHOWN = 10  # keys of a row
LONGEST_SHOWN = 60  # characters of a key or role


def conversation_of(row: Any, line: int) -> Conversation:
    """Return the conversation in `row`; `line` is where it is. Raises RowProblem."""
    if type(row) is not dict:
        raise RowProblem("object")
    # A table has all its columns in every row: an empty one is as good as none.
    if row.get("messages") not in (None, ""):
        return _chat(row, "messages", line)
    if row.get("conversations") not in (None, ""):
        return _chat(row, "conversations", line)
    if "instruction" in row or "output" in row:
        return _single(row, "instruction", "output", line)
    if "query" in row or "response" in row:
        return _single(row, "query", "response", line)
    if "prompt" in row and "completion" in row:
        return _completion(row, line)
    if not row:
        raise RowProblem("no_fields", known=list(KNOWN_FORMATS))
    raise RowProblem("unknown_format", found=_keys_of(row), known=list(KNOWN_FORMATS))


def half_character_in(value: Any, name: str = "") -> tuple[str, str] | None:
    """Return name and text of the first field in `value` that holds a lone surrogate.

    Such a half of a pair is left where an export cut an emoji in two: no tokenizer takes it.
    """
    left: list[tuple[str, Any]] = [(name, value)]
    while left:  # not by calling itself: a value may be nested deeper than calls may be
        place, part = left.pop()
        if isinstance(part, str):
            try:
                part.encode()
            except UnicodeEncodeError:
                return place, part
        elif isinstance(part, dict):
            for key, inner in reversed(part.items()):
                shown = _short(key.encode("utf-8", "backslashreplace").decode())
                inside = _short(f"{place}.{shown}" if place else shown)
                left += ((inside, inner), (inside, key))
        elif isinstance(part, list):
            numbered = [(_short(f"{place}[{index}]"), inner) for index, inner in enumerate(part)]
            left += reversed(numbered)
    return None


def _single(row: dict[str, Any], ask: str, reply: str, line: int) -> Conversation:
    """A question and its answer in fields of their own, perhaps with turns before it."""
    question, answer = _field(row, ask), _field(row, reply)
    if more := row.get("input"):
        if type(more) is not str:
            raise RowProblem("field_type", name="input", found=json_type(more))
        question = f"{question}\n{more}" if question.strip() else more
    elif more is not None and more != "":
        raise RowProblem("field_type", name="input", found=json_type(more))
    if not question or question.isspace():
        raise RowProblem("field_empty", name=ask)
    if not answer or answer.isspace():
        raise RowProblem("field_empty", name=reply)
    turns: tuple[Turn, ...] = (Turn(question, answer),)
    if (history := row.get("history")) not in (None, ""):
        turns = (*_history(history), *turns)
    return Conversation(turns, _system(row), line)


def _history(history: Any) -> list[Turn]:
    if type(history) is not list:
        raise RowProblem("field_list", name="history", found=json_type(history))
    turns = []
    for index, pair in enumerate(history):
        name = f"history[{index}]"
        if type(pair) is not list or len(pair) != 2:
            raise RowProblem("history_pair", name=name)
        turns.append(Turn(_filled(pair[0], f"{name}[0]"), _filled(pair[1], f"{name}[1]")))
    return turns


def _completion(row: dict[str, Any], line: int) -> Conversation:
    prompt, completion = row["prompt"], row["completion"]
    if type(prompt) is list and type(completion) is list:
        for name in ("prompt", "completion"):
            if not row[name]:
                raise RowProblem("no_messages", name=name)
        named = [(f"prompt[{index}]", message) for index, message in enumerate(prompt)]
        named += [(f"completion[{index}]", message) for index, message in enumerate(completion)]
        return _conversation(named, row, line)
    turn = Turn(_filled(prompt, "prompt"), _filled(completion, "completion"))
    return Conversation((turn,), _system(row), line)


def _chat(row: dict[str, Any], name: str, line: int) -> Conversation:
    messages = row[name]
    if type(messages) is not list:
        raise RowProblem("field_list", name=name, found=json_type(messages))
    if not messages:
        raise RowProblem("no_messages", name=name)
    named = [(f"{name}[{index}]", message) for index, message in enumerate(messages)]
    return _conversation(named, row, line)


def _conversation(named: list[tuple[str, Any]], row: dict[str, Any], line: int) -> Conversation:
    """Lay messages out as turns: perhaps a system text, then question and answer by turns."""
    system = _system(row)
    turns: list[Turn] = []
    question: str | None = None
    for number, (name, message) in enumerate(named, start=1):
        role, content = _message(name, message, number)
        if role == "system":
            if number > 1:
                raise RowProblem("system_not_first", message=number)
            if system is not None and content != system:
                raise RowProblem("system_twice")
            system = content if content.strip() else None
        elif not content or content.isspace():
            raise RowProblem("field_empty", name=name)
        elif role == "user":
            if question is not None:
                raise RowProblem("two_questions", message=number)
            question = content
        elif question is None:
            raise RowProblem("answer_without_question", message=number)
        else:
            turns.append(Turn(question, content))
            question = None
    if question is not None or not turns:
        raise RowProblem("ends_without_answer", message=len(named))
    return Conversation(tuple(turns), system, line)


def _message(name: str, message: Any, number: int) -> tuple[str, str]:
    """Return role and text of a message, under OpenAI's names or ShareGPT's."""
    if type(message) is not dict:
        raise RowProblem("message_object", message=number, found=json_type(message))
    said = message["role"] if "role" in message else message.get("from")
    said = said if type(said) is str else str(said)
    if said in TOOL_ROLES or message.get("tool_calls") or message.get("function_call"):
        raise RowProblem("tool_message", message=number)
    role = ROLES.get(said)
    if role is None:
        raise RowProblem("role_unknown", message=number, role=_short(said), known=list(ROLES))
    content = message["content"] if "content" in message else message.get("value")
    if type(content) is list:
        return role, "".join(_part(part, number) for part in content)
    if type(content) is not str:
        raise RowProblem("field_type", name=f"{name}.content", found=json_type(content))
    return role, content


def _part(part: Any, number: int) -> str:
    kind = part.get("type") if type(part) is dict else json_type(part)
    if kind == "text" and type(part) is dict and type(part.get("text")) is str:
        return str(part["text"])
    raise RowProblem("not_text", message=number, found=_short(str(kind)))


def _system(row: dict[str, Any]) -> str | None:
    system = row.get("system")
    if system is None:
        return None
    if type(system) is not str:
        raise RowProblem("field_type", name="system", found=json_type(system))
    return system if system.strip() else None


def _field(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if type(value) is str:
        return value
    if name not in row:
        raise RowProblem("field_missing", name=name, found=_keys_of(row))
    raise RowProblem("field_type", name=name, found=json_type(value))


def _keys_of(row: dict[str, Any]) -> list[str]:
    return [_short(key) for key in list(row)[:MOST_SHOWN]]


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def _filled(value: Any, name: str) -> str:
    if type(value) is not str:
        raise RowProblem("field_type", name=name, found=json_type(value))
    if not value or value.isspace():
        raise RowProblem("field_empty", name=name)
    return value
