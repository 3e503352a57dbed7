"""What a saved network says of itself: what it was fine-tuned on, with what, and how large it saw
the animal."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.environment import describe_environment, git_commit
from utils.errors import InputError

STAGE = "fine_tune"


@dataclass(frozen=True)
class SavedNetwork:
    """A weights file and its metadata.

    Attributes:
        path: of the file.
        facts: as `utils.training.weights.load_weights` returns them.
    """

    path: Path
    facts: dict[str, str]

    @property
    def sha256(self) -> str:
        return self.facts["sha256"]

    @property
    def tuned_on(self) -> list[dict[str, Any]]:
        """A dict per video that it was fine-tuned on, the first one first: "video", its name;
        "frames", the labelled ones; "animals", their numbers; "sha256", that of the frames. Empty
        for weights of stages 1 and 2, and for networks that were saved by earlier versions."""
        try:
            return read_tuned_on(json.loads(self.facts.get("tuned_on", "[]")))
        except ValueError:
            return []

    @property
    def zoom(self) -> float:
        """How much it saw its animals enlarged, see `utils.stage3.window.choose_zoom`; 1 where that
        is not known."""
        try:
            return max(1.0, float(self.facts.get("zoom", 1)))
        except ValueError:
            return 1.0

    def require_fine_tuned(self) -> None:
        """Refuses weights that know no particular animal.

        Raises:
            InputError: if they are not those of a fine-tuned network.
        """
        stage = self.facts.get("stage", "unknown")
        if stage != STAGE:
            raise InputError(
                f"{self.path}: expected a network that --save-weights kept, found weights of stage "
                f"{stage}. To start from these, name them with --weights, and label a frame."
            )

    def record(self) -> dict[str, Any]:
        """For run.json."""
        return {"file": str(self.path), "sha256": self.sha256, "tuned_on": self.tuned_on}


def read_tuned_on(content: Any) -> list[dict[str, Any]]:
    """What of a file's content, as JSON gives it, is an entry of `SavedNetwork.tuned_on`."""

    def is_entry(one: Any) -> bool:
        return (
            isinstance(one, dict)
            and all(isinstance(one.get(key), str) for key in ("video", "sha256"))
            and isinstance(one.get("frames"), list)
            and all(type(frame) is int and frame >= 0 for frame in one["frames"])
        )

    return [one for one in content if is_entry(one)] if isinstance(content, list) else []


def tuned_on_video(
    name: str, frames: Sequence[int], animals: Sequence[int], sha256: str
) -> dict[str, Any]:
    """One entry of `SavedNetwork.tuned_on`."""
    return {"video": name, "frames": [*frames], "animals": [*animals], "sha256": sha256}


def network_facts(
    head: str, preset: str, tuned_on: Sequence[dict[str, Any]], zoom: float
) -> dict[str, str]:
    """The metadata to save a fine-tuned network with.

    Args:
        head: of the network.
        preset: name of the preset.
        tuned_on: all videos that it was fine-tuned on, in this order.
        zoom: how much it saw its animals enlarged.
    """
    environment = describe_environment()
    names = ", ".join(dict.fromkeys(entry["video"] for entry in tuned_on))
    versions = {name: environment[name] for name in ("backend", "backend_version", "keras")}
    return {
        "stage": STAGE,
        "head": head,
        # A name need not be UTF-8, which the file's metadata have to be.
        "data": names.encode("utf-8", "backslashreplace").decode("utf-8"),
        "commit": git_commit(),
        "labelled_frames": ", ".join(map(str, tuned_on[-1]["frames"])),
        "preset": preset,
        "zoom": f"{zoom:.4f}",
        "tuned_on": json.dumps(list(tuned_on)),
        "versions": json.dumps(versions),
    }
