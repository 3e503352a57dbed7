"""The one exception class of the project: what a user can mend, told in one line."""


class InputError(ValueError):
    """Something in the user's input (file, folder, argument) is not as it must be.

    The message says what was expected, what was found, where, and what to do next, in one line.
    Scripts print it and end with status 1; any other exception is a fault of ours and keeps its
    traceback.
    """


class UsageError(InputError):
    """The command line itself is wrong (unknown sequence, two labels for a frame): status 2."""
