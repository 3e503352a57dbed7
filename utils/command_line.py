"""Command lines from frozen dataclasses.

`setting` declares a flag, `run_script` parses the flags, runs the script and sets its exit status.
"""

import dataclasses
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from utils.errors import EXPECTED, UsageError, is_disk_full, one_line

ConfigT = TypeVar("ConfigT")


def setting(default: Any, help: str) -> Any:
    """Declares one field of a script's `Config`.

    Args:
        default: the value if the flag is absent.
        help: the flag's line in `--help`.
    """
    return dataclasses.field(default=default, metadata={"help": help})


def parse_config(
    config_class: type[ConfigT], description: str | None, args: list[str] | None = None
) -> ConfigT:
    """Reads the command line into a frozen dataclass whose fields are made with `setting`.

    Args:
        config_class: the dataclass; a field `num_steps: int` becomes the flag `--num-steps`.
        description: shown above the flags by `--help` (the script's docstring).
        args: the arguments; None takes those of the process.

    Raises:
        SystemExit: with status 2 for unknown, abbreviated, repeated or malformed flags, with
            status 0 after `--help`.
    """
    words = sys.argv[1:] if args is None else args
    flags = [word.split("=")[0].replace("_", "-") for word in words if word.startswith("--")]
    for flag in flags:
        if flags.count(flag) > 1:  # tyro would silently keep the last one
            print(f"error: {flag} is given twice. Put all its values after one.", file=sys.stderr)
            raise SystemExit(2)
    return tyro.cli(
        config_class, description=description, args=args, config=[tyro.conf.FlagCreatePairsOff]
    )


def check_seed(seed: int) -> None:
    """Raises UsageError for a seed that the backends and NumPy do not take."""
    if not 0 <= seed < 2**32:
        raise UsageError(f"--seed must be 0 to {2**32 - 1}, not {seed}.")


def check_one_or_more(config: Any, names: Sequence[str]) -> None:
    """Raises UsageError, with the name of the flag, for a field of `config` that is below 1."""
    for name in names:
        if getattr(config, name) < 1:
            flag = name.replace("_", "-")
            raise UsageError(f"--{flag} must be 1 or more, not {getattr(config, name)}.")


def flag_words(flag: str, value: str | Path) -> list[str]:
    """Returns the words that give a flag one value, also one that begins with a hyphen."""
    # By itself, "-hen.mp4" would be taken for a flag; Path has dropped the "./" before it.
    return [f"{flag}={value}"] if str(value).startswith("-") else [flag, str(value)]


def shown_command(script: Path, flags: Sequence[str]) -> str:
    """Returns the command that runs a script, as it must be typed in this terminal and folder.

    Args:
        script: absolute path of the script.
        flags: its arguments, not yet quoted.
    """
    shown_script = script.name if Path.cwd() == script.parent else str(script)
    return shown_words(["python", shown_script, *flags])


def shown_words(words: Sequence[str]) -> str:
    """Returns words of a command, as they must be typed in this terminal."""
    return quote_for_windows(words) if os.name == "nt" else shlex.join(words)


def quote_for_windows(words: Sequence[str]) -> str:
    """Returns a command for cmd.exe and PowerShell, which split words also at &, ( and commas."""
    return " ".join(w if re.fullmatch(r"[\w.\\/:=+-]+", w) else f'"{w}"' for w in words)


def shard_slice(shard: str) -> slice:
    """Returns the slice that `--shard I/N` stands for: "2/5" is the second of every five.

    Raises:
        UsageError: if the text is not I/N with I from 1 to N.
    """
    first, _, count = shard.partition("/")
    if not (first.isdecimal() and count.isdecimal() and 1 <= int(first) <= int(count)):
        raise UsageError(f"--shard must be I/N with I from 1 to N, not {shard!r}.")
    return slice(int(first) - 1, None, int(count))


def run_script(
    main: Callable[[ConfigT], Any], config_class: type[ConfigT], description: str | None
) -> None:
    """Parses the flags, runs `main(config)` and ends the process.

    The exit status is 0 if all is done, 1 if something failed, 2 for wrong arguments. A full disk
    is reported with advice, whichever part of a script found it.

    Args:
        main: may return the status as an int; any other value counts as 0.
        config_class: see `parse_config`.
        description: see `parse_config`.
    """
    for stream in (sys.stdout, sys.stderr):  # names may have letters that the terminal lacks
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    config = parse_config(config_class, description)
    try:
        result = main(config)
    except UsageError as error:
        sys.exit(_report(error, 2))
    except EXPECTED as error:
        sys.exit(_report(error, 1))
    except KeyboardInterrupt:
        # With it, the same command would start over.
        flag = ", without --overwrite," if getattr(config, "overwrite", False) else ""
        if getattr(config, "resume", None) is False:  # a training run goes on only where asked to
            flag = " with --resume"
        print(f"\nStopped. Run the same command again{flag} to continue.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if not is_disk_full(error):
            raise
        sys.exit(_report(error, 1))
    sys.exit(result if isinstance(result, int) and not isinstance(result, bool) else 0)


def _report(error: Exception, status: int) -> int:
    print(f"error: {one_line(error)}", file=sys.stderr)
    return status
