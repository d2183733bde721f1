"""The one exception that means: the input is wrong, and this sentence says how to mend it."""


class UserError(Exception):
    """Bad input. The message is one line that names the value and the remedy."""
