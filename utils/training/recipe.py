"""How stages 1 and 2, the prompted network and the instance head train: one frozen dataclass,
without Keras."""

from dataclasses import dataclass, fields
from typing import Any

from utils.training.augmentation import Augmentation


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that trained weights depend on, apart from the data and the weights to start from.

    The fields without a default are flags of the stage scripts, which state their defaults.

    Attributes:
        stage: "pascal_base", "objectness", "prompted" or "instances", kept with the weights.
        augmentation: of the crops.
        steps: updates of the weights in the whole run.
        batch_size: crops of one forward pass.
        accumulate: batches whose gradients are averaged into one update.
        crop: side of the square crops, pixels.
        head_learning_rate, backbone_learning_rate: peaks; after a warm-up over a twentieth of the
            run they fall along a cosine to `final_rate` of themselves.
        frozen_blocks: first blocks of the backbone that do not learn.
        train_batch_statistics: see `models.build_model`.
        batches_per_epoch: the state is saved at the end of each epoch.
        validate_every: epochs between two validations.
        average_from: share of the run, 0 to 1, after which the weights are averaged; the average
            is then what is validated and handed on. None: no average.
        precision: Keras's dtype policy, "float32" or "mixed_bfloat16".
        seed: of crops, their augmentation and untrained layers.
        weight_decay: see `make_optimizer`.
        region_weight: see `models.losses.SegmentationLoss`.
        side_weight: of the loss of each side output, where the head has any.
    """

    stage: str
    augmentation: Augmentation
    steps: int
    batch_size: int
    accumulate: int
    crop: int
    head_learning_rate: float
    backbone_learning_rate: float
    final_rate: float
    frozen_blocks: int
    train_batch_statistics: bool
    batches_per_epoch: int
    validate_every: int
    average_from: float | None
    precision: str
    seed: int
    weight_decay: float = 1e-4
    region_weight: float = 1.0
    side_weight: float = 1.0

    @property
    def batches(self) -> int:
        """Batches of the whole run. Schedules, backups and progress count these, not updates."""
        return self.steps * self.accumulate


def recipe_of(flags: Any, stage: str, augmentation: Augmentation, **fixed: Any) -> Recipe:
    """The recipe that a stage script's flags ask for.

    Args:
        flags: its `Config`; what has the name of a field of `Recipe` becomes that field.
        stage, augmentation: see `Recipe`; no flags.
        fixed: further fields of `Recipe` that are no flags of this script.
    """
    named = {f.name: getattr(flags, f.name) for f in fields(Recipe) if hasattr(flags, f.name)}
    if hasattr(flags, "batch_statistics"):
        named["train_batch_statistics"] = flags.batch_statistics == "trained"
    return Recipe(stage=stage, augmentation=augmentation, **named, **fixed)
