"""Loss and validation curves of a training run as a picture."""

from collections.abc import Sequence
from pathlib import Path

from utils.files import write_atomically


def draw_curves(path: Path, rows: Sequence[dict]) -> None:
    """Draws `loss` and `validation_iou` over `step` as PNG, 1200 x 450 pixels.

    Args:
        path: the picture, replaced as a whole.
        rows: a dict per epoch with "step" and "loss", and "validation_iou" where validated.
    """
    from matplotlib.figure import Figure  # takes a second to import; needs no display like this

    figure = Figure(figsize=(12, 4.5), dpi=100, layout="constrained")
    for axes, name, label in zip(
        figure.subplots(1, 2),
        ("loss", "validation_iou"),
        ("training loss", "validation IoU"),
        strict=True,
    ):
        points = [(row["step"], row[name]) for row in rows if name in row]
        axes.plot(
            *zip(*points, strict=True) if points else ((), ()),
            marker="." if len(points) < 40 else "",
        )
        axes.set(xlabel="step", ylabel=label)
        axes.grid(alpha=0.3)
        if points and name == "validation_iou":
            step, value = max(points, key=lambda point: point[1])
            axes.set_title(f"best {value:.3f} at step {step}", fontsize=10)
    write_atomically(path, lambda temporary_path: figure.savefig(temporary_path))
