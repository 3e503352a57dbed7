"""Errors that a user can fix, and the one-line message that every script and the page show."""

import errno

_DISK_FULL_CODES = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
# TensorFlow, HDF5 and safetensors report a full disk by these words, without an error code; on
# Windows in the user's language, so that only the system's number tells.
_DISK_FULL_WORDS = (
    "No space left on device",
    "Disk quota exceeded",
    "Disc quota exceeded",
    "(os error 112)",
)


class InputError(ValueError):
    """A file, folder or argument given by the user is not as it must be.

    The message says in one line what was expected, what was found, where, and what to do next.
    Scripts print it and exit with status 1, as of an OSError and of a loss that is not finite
    (FloatingPointError). Any other exception is a bug and keeps its traceback.
    """


class UsageError(InputError):
    """The command line itself is wrong (an unknown sequence, two labels for one frame).

    Scripts exit with status 2.
    """


EXPECTED = (InputError, OSError, FloatingPointError)  # anything else is a bug


def one_line(error: BaseException) -> str:
    """Returns the message for the user: what went wrong, in one line.

    Args:
        error: any exception; a full disk gets advice, wherever it was found to be full.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    if is_disk_full(error):
        return (
            f"the disk is full ({text}). Free some space, or choose a folder on another disk; "
            "then run the same command again."
        )
    return text


def is_disk_full(error: BaseException) -> bool:
    """Returns whether an exception means that the disk, or the user's share of it, is full."""
    if isinstance(error, OSError) and error.errno in _DISK_FULL_CODES:
        return True
    return any(words in str(error) for words in _DISK_FULL_WORDS)
