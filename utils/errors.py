"""The one exception class of the project: what a user can mend, told in one line."""

import errno


class InputError(ValueError):
    """Something in the user's input (file, folder, argument) is not as it must be.

    The message says what was expected, what was found, where, and what to do next, in one line.
    Scripts print it and end with status 1; any other exception is a fault of ours and keeps its
    traceback.
    """


class UsageError(InputError):
    """The command line itself is wrong (unknown sequence, two labels for a frame): status 2."""


def describe(error: Exception) -> str:
    """What went wrong, in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", 0)):
        return (
            f"the disk is full ({text}). Free some of it, or choose a folder elsewhere; the same "
            "command goes on from here."
        )
    return text
