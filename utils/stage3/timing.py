"""How long the parts of a run take."""

from dataclasses import dataclass, field


@dataclass
class Timing:
    """Seconds of the steps and frames really computed, not of those found after a restart; with
    a network for each of several animals a frame counts once for each.

    Attributes:
        losses: number of the animal -> mean loss of each epoch computed.
    """

    fine_tuning: float = 0.0
    steps: int = 0
    segmentation: float = 0.0
    frames: int = 0
    losses: dict[int, list[float]] = field(default_factory=dict)

    def summary(self, total: float) -> dict[str, float | int | None]:
        """For run.json; `total` is the number of seconds of the whole run."""
        return {
            "fine_tuning": round(self.fine_tuning, 2),
            "per_step": round(self.fine_tuning / self.steps, 3) if self.steps else None,
            "steps": self.steps,
            "segmentation": round(self.segmentation, 2),
            "per_frame": round(self.segmentation / self.frames, 3) if self.frames else None,
            "frames": self.frames,
            "total": round(total, 2),
        }
