"""What to tell a person whose settings are wrong: one line for each variable, without its value."""

from pydantic import ValidationError


def explain(error: ValidationError) -> str:
    """Return a line per fault: `VARIABLE: what is wrong`. Faults of several variables name them in the text."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return "\n".join(_line([str(part) for part in detail["loc"]], detail["msg"]) for detail in details)


def _line(location: list[str], message: str) -> str:
    words = message.removeprefix("Value error, ")
    return f"{'.'.join(location).upper()}: {words}" if location else words
