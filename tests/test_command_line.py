"""Flags from a dataclass: what is refused, and with which status."""

from dataclasses import dataclass

import pytest

from utils.command_line import parse_config, quote_for_windows, run_script, setting
from utils.errors import InputError, UsageError


@dataclass(frozen=True)
class Config:
    sequences: tuple[str, ...] = setting((), "names")
    num_steps: int = setting(3, "steps")
    dry_run: bool = setting(False, "no writing")
    overwrite: bool = setting(False, "from the start")


def test_flags_fill_the_dataclass():
    config = parse_config(Config, "", ["--sequences", "a", "b", "--num-steps", "7", "--dry-run"])
    assert config == Config(("a", "b"), 7, True)


@pytest.mark.parametrize(
    "words",
    [
        ["--unknown"],
        ["--num", "5"],
        ["--dry"],
        ["--num-steps", "many"],
        ["--sequences", "a", "--sequences", "b"],
    ],
    ids=" ".join,
)
def test_unknown_abbreviated_malformed_and_repeated_flags_end_with_status_2(words, capsys):
    with pytest.raises(SystemExit) as stop:
        parse_config(Config, "", words)
    assert stop.value.code == 2


@pytest.mark.parametrize(
    "outcome, status",
    [
        (None, 0),
        (1, 1),
        (InputError("hen.png:\n broken"), 1),
        (OSError("disk"), 1),
        (FloatingPointError("the loss is not finite. Lower --learning-rate."), 1),
        (UsageError("which?"), 2),
    ],
    ids=str,
)
def test_a_script_ends_with_the_status_of_what_happened(outcome, status, monkeypatch, capsys):
    def main(config):
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr("sys.argv", ["script"])
    with pytest.raises(SystemExit) as stop:
        run_script(main, Config, "")
    assert stop.value.code == status
    err = capsys.readouterr().err
    assert err.count("\n") == (1 if isinstance(outcome, Exception) else 0)


@pytest.mark.parametrize(
    "flags, command", [([], "again to"), (["--overwrite"], "again, without --overwrite, to")]
)
def test_after_ctrl_c_the_command_that_continues_is_named(flags, command, monkeypatch, capsys):
    def main(config):
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.argv", ["script", *flags])
    with pytest.raises(SystemExit) as stop:
        run_script(main, Config, "")
    assert stop.value.code == 130
    assert f"Run the same command {command} continue." in capsys.readouterr().err


@dataclass(frozen=True)
class TrainingConfig:
    resume: bool = setting(False, "continue")


@pytest.mark.parametrize("flags", [[], ["--resume"]], ids=["begun", "resumed"])
def test_after_ctrl_c_a_training_run_is_continued_with_resume(flags, monkeypatch, capsys):
    """The command that was named was refused."""

    def main(config):
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.argv", ["script", *flags])
    with pytest.raises(SystemExit):
        run_script(main, TrainingConfig, "")
    command = "again to" if flags else "again with --resume to"
    assert f"Run the same command {command} continue." in capsys.readouterr().err


def test_a_command_for_windows_is_quoted_for_both_of_its_terminals():
    words = [
        "python",
        r"C:\animals\annotate.py",
        "--video",
        "cats&dogs.mp4",
        "--results",
        "out (1)",
    ]
    assert quote_for_windows(words) == (
        r'python C:\animals\annotate.py --video "cats&dogs.mp4" --results "out (1)"'
    )
    words = [r"C:\animals\finetune_test.py", "--video", "cats&dogs.mp4", "--guidance", "12,40"]
    assert quote_for_windows(words) == (
        r'C:\animals\finetune_test.py --video "cats&dogs.mp4" --guidance "12,40"'
    )


def test_faults_of_ours_keep_their_traceback(monkeypatch):
    def main(config):
        raise KeyError("bug")

    monkeypatch.setattr("sys.argv", ["script"])
    with pytest.raises(KeyError):
        run_script(main, Config, "")
