"""The exception tree. Each error has a stable code; its sentence and hint are in `messages/`.

TunesmithError
├── Refused                     the caller can mend it
│   ├── InvalidInput            fields of a request, with one FieldProblem each      (HTTP 422)
│   ├── NotSignedIn             missing or wrong token                              (401)
│   ├── TooManyTries            too many wrong tokens; params: seconds to wait      (429)
│   ├── Forbidden               signed in, but not from there                       (403)
│   ├── NotFound                no such task, page or file                          (404)
│   └── Conflict                the state of things forbids it                      (409)
│       └── IllegalTransition   a status that cannot follow
├── Misconfigured               the operator's settings are wrong                   (exit 78)
├── Unreachable                 no server answers                                   (exit 69)
└── RunFailure                  a training run cannot go on; becomes an `error` event
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from tunesmith.messages import sentence


class TunesmithError(Exception):
    """Base of all errors of this package.

    `code` names the message (and the rule for a hint) and never changes once released;
    `params` fill the message's placeholders and are JSON values.
    """

    code = "internal"

    def __init__(self, code: str | None = None, /, **params: Any) -> None:
        self.code = code or type(self).code
        self.params = params
        super().__init__(self.code)

    def __str__(self) -> str:
        return sentence(self.code, "en", self.params)


@dataclass(frozen=True)
class FieldProblem:
    """What is wrong with one field; `field` is its path on the wire: `trainingArgs.lora_r`."""

    field: str
    code: str
    params: dict[str, Any] = dataclasses.field(default_factory=dict)


class Refused(TunesmithError):
    """The caller asked for something that cannot be, and can mend it."""


class InvalidInput(Refused):
    code = "invalid_input"

    def __init__(self, *problems: FieldProblem) -> None:
        super().__init__()
        self.problems = problems

    def __str__(self) -> str:
        return "; ".join(
            f"{problem.field}: {sentence(problem.code, 'en', problem.params)}"
            for problem in self.problems
        )


class NotSignedIn(Refused):
    code = "not_signed_in"


class TooManyTries(Refused):
    code = "too_many_tries"


class Forbidden(Refused):
    code = "forbidden"


class NotFound(Refused):
    code = "not_found"


class Conflict(Refused):
    code = "conflict"


class IllegalTransition(Conflict):
    code = "illegal_transition"


class Misconfigured(TunesmithError):
    code = "misconfigured"


class Unreachable(TunesmithError):
    code = "unreachable"


class RunFailure(TunesmithError):
    """A training run cannot go on. The code is one that `diagnosis` knows a hint for."""

    code = "trainer_crashed"
