"""Tells a person what went wrong, in one or two sentences on standard error."""

from tunesmith.cli.exit_codes import of_error
from tunesmith.cli.terminal import notice
from tunesmith.errors import InvalidInput, TunesmithError
from tunesmith.messages import hint, sentence, user_language


def tell(error: Exception) -> int | None:
    """Say what `error` means and return the exit code; None for one that is not the package's."""
    if not isinstance(error, TunesmithError):
        return None
    language = user_language()
    if isinstance(error, InvalidInput):
        notice(sentence(error.code, language) + ":")
        for problem in error.problems:
            notice(f"  {problem.field}: {sentence(problem.code, language, problem.params)}")
    else:
        notice(sentence(error.code, language, error.params))
        if advice := hint(error.code, language, error.params):
            notice(advice)
    return of_error(error)
