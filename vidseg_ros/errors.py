"""The one exception that means: the input is wrong, and this sentence says how to mend it."""


class UserError(Exception):
    """Bad input. The message names the value and the remedy; it is one line, whatever a value holds."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def describe(error: Exception) -> str:
    """One line: the message of a UserError, or kind and message of another exception."""
    text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())
