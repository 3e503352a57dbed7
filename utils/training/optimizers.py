"""Optimizers with a learning rate for the head and one for the backbone, and their schedule."""

import re

import keras


def make_optimizer(
    head_learning_rate,
    backbone_learning_rate,
    weight_decay: float = 1e-4,
    clip_norm: float | None = 1.0,
    accumulate: int = 1,
) -> keras.optimizers.Optimizer:
    """AdamW with one learning rate (or schedule) for the head and one for the ImageNet backbone.

    A fresh head learns ten times faster than a backbone that must not forget.

    Args:
        head_learning_rate, backbone_learning_rate: numbers or schedules.
        weight_decay: of kernels and all other variables, decoupled from the gradients.
        clip_norm: longest gradient of a variable; None does not clip.
        accumulate: batches whose gradients are averaged into one update.
    """
    head, backbone = (
        keras.optimizers.AdamW(
            rate,
            weight_decay=weight_decay,
            clipnorm=clip_norm,
            gradient_accumulation_steps=accumulate if accumulate > 1 else None,
        )
        for rate in (head_learning_rate, backbone_learning_rate)
    )
    return keras.optimizers.MultiOptimizer(
        lambda variable: backbone if re.match(r"block\d+_", variable.path) else head
    )


def warmup_cosine(
    learning_rate: float, steps: int, final: float
) -> keras.optimizers.schedules.LearningRateSchedule:
    """A warm-up over a twentieth of the steps, so that a fresh head does no harm, then a cosine
    down to `final` times the learning rate."""
    warmup = max(1, steps // 20)
    return keras.optimizers.schedules.CosineDecay(
        learning_rate * 0.1,
        max(1, steps - warmup),
        alpha=final,
        warmup_target=learning_rate,
        warmup_steps=warmup,
    )


def reset_optimizer(optimizer: keras.optimizers.Optimizer) -> None:
    """Back to step 0 with empty moments, keeping the traced training step for the next video."""
    for variable in optimizer.variables:
        if "learning_rate" not in variable.path:
            variable.assign(keras.ops.zeros_like(variable.value))
