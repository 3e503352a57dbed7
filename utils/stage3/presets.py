"""What `--preset` means: one table, and the flag's type, which follows from it."""

from typing import Literal

from utils.stage3.settings import FineTuning, Preset, SecondLook, Window

PRESETS = {
    "default": Preset(FineTuning(steps=100), second_look=SecondLook(epochs=2)),
    "fast": Preset(
        FineTuning(steps=100, crop=(256, 448)), lines=360, window=Window(pixels=240_000)
    ),
    "accurate": Preset(FineTuning(steps=200), flip=True, second_look=SecondLook(epochs=4)),
}
PresetName = Literal[*PRESETS]  # the choices of every --preset flag
