"""What `--preset` means: one table, and the flag's type, which follows from it."""

from typing import Literal

from utils.stage3.settings import FineTuning, Preset, SecondLook

PRESETS = {
    "default": Preset(FineTuning(steps=200), second_look=SecondLook(epochs=4)),
    "fast": Preset(FineTuning(steps=100, crop=(256, 448)), lines=360, flip=False),
    "accurate": Preset(FineTuning(steps=400), scales=(1.0, 1.25), second_look=SecondLook(epochs=8)),
}
PresetName = Literal[*PRESETS]  # the choices of every --preset flag
