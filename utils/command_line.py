"""Command lines from frozen dataclasses: `setting` declares a flag, `run_script` parses, runs and
sets the exit status."""

import dataclasses
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from utils.errors import InputError, UsageError

ConfigT = TypeVar("ConfigT")


def setting(default: Any, help: str) -> Any:
    """One field of a script's `Config`: its default and its line in `--help`."""
    return dataclasses.field(default=default, metadata={"help": help})


def parse_config(
    config_class: type[ConfigT], description: str | None, args: list[str] | None = None
) -> ConfigT:
    """Reads the command line into `config_class`, a frozen dataclass whose fields are made with
    `setting`.

    Args:
        config_class: the dataclass; a field `num_steps: int` becomes the flag `--num-steps`.
        description: shown above the flags by `--help` (the script's docstring).
        args: the arguments; None takes those of the process.

    Raises: SystemExit with status 2 for unknown, abbreviated, repeated or malformed flags, 0 after
        `--help`.
    """
    words = sys.argv[1:] if args is None else args
    flags = [word.split("=")[0].replace("_", "-") for word in words if word.startswith("--")]
    for flag in flags:
        if flags.count(flag) > 1:  # the parser would keep the last one without a word
            print(f"error: {flag} is given twice. Put all its values after one.", file=sys.stderr)
            raise SystemExit(2)
    return tyro.cli(
        config_class, description=description, args=args, config=[tyro.conf.FlagCreatePairsOff]
    )


def shown_command(script: Path, flags: Sequence[str]) -> str:
    """What to type in this terminal and folder to run a script."""
    here = script.name if Path.cwd() == script.parent else str(script)
    words = ["python", here, *flags]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def shard_slice(shard: str) -> slice:
    """From "2/5" the second of every five. Raises: UsageError."""
    first, _, count = shard.partition("/")
    if not (first.isdecimal() and count.isdecimal() and 1 <= int(first) <= int(count)):
        raise UsageError(f"--shard must be I/N with I from 1 to N, not {shard!r}.")
    return slice(int(first) - 1, None, int(count))


def run_script(
    main: Callable[[ConfigT], Any], config_class: type[ConfigT], description: str | None
) -> None:
    """Parses the flags, runs `main(config)` and ends the process: 0 done, 1 something failed, 2
    wrong arguments.

    `main` may return a status (int); any other return value counts as 0.
    """
    for stream in (sys.stdout, sys.stderr):  # names that the terminal's code page lacks
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    config = parse_config(config_class, description)
    try:
        result = main(config)
    except UsageError as error:
        sys.exit(_say(error, 2))
    except (InputError, OSError) as error:
        sys.exit(_say(error, 1))
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
        sys.exit(130)
    sys.exit(result if isinstance(result, int) and not isinstance(result, bool) else 0)


def _say(error: Exception, status: int) -> int:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return status
