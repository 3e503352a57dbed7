"""What `--preset` means: one table, and the flag's type, which follows from it."""

import json
from dataclasses import asdict, replace
from typing import Any, Literal

from utils.stage3.settings import (
    FineTuning,
    PaperFineTuning,
    Preset,
    PromptedPreset,
    Refinement,
    SecondLook,
    Window,
)
from utils.training.augmentation import AUGMENTATIONS, Augmentation

# Xue et al. (2022), as far as their code tells; docs/how_it_works.md says what differs.
PAPER = Preset(
    PaperFineTuning(
        steps=200,
        crop=(480, 853),  # the whole frame
        head_learning_rate=1e-7,  # of a sum over pixels
        frozen_blocks=0,
        augmentation=Augmentation(
            scale=(0.6, 1.3), object_centred=0.0, brightness=0.2, contrast=0.2, noise=7
        ),
    ),
    flip=True,
    refinement=Refinement(threshold=162 / 255, radius=0, neighbour_weight=0),
    separation=None,
    crossing=None,
    company=None,
    # A window that always is the whole frame, as it is.
    window=Window(pixels=10**9, max_zoom=1, margin=2, whole_every=10**9),
)

# One of many that look alike: chosen on four videos of pigs in a pen (docs/experiments.md).
HERD = PromptedPreset(
    FineTuning(
        steps=150,
        crop=(320, 320),
        final_rate=0.3,
        augmentation=replace(AUGMENTATIONS["fine_tune"], object_centred=0.9),
    ),
)

PRESETS = {
    "default": Preset(FineTuning(steps=75), second_look=SecondLook(), start_share=0.25),
    "fast": Preset(
        FineTuning(steps=75, crop=(256, 448)),
        lines=360,
        start_share=0.25,
        window=Window(pixels=240_000),
    ),
    "accurate": Preset(
        FineTuning(steps=200), flip=True, second_look=SecondLook(epochs=4), start_share=0.25
    ),
    "herd": HERD,
    "paper": PAPER,
}
PresetName = Literal[*PRESETS]  # the choices of every --preset flag


def as_recorded(preset: Preset) -> dict[str, Any]:
    """A preset as run.json has it."""
    return json.loads(json.dumps(asdict(preset)))


def name_preset(record: dict[str, Any]) -> str | None:
    """The name of the preset of a run.

    Args:
        record: the content of its run.json.

    Returns: None for a recipe that no preset has now; "default" where no recipe is recorded.
    """
    recorded = record.get("key", {}).get("preset")
    if recorded is None:
        return "default"
    return next((name for name, one in PRESETS.items() if as_recorded(one) == recorded), None)
