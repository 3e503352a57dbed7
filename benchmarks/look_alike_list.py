"""The list of look-alike videos, and where their results are.

Not a benchmark itself; see look_alikes.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.look_alike_sources import Half
from utils.errors import InputError, UsageError
from utils.files import write_atomically

LIST_FILE = "clips.txt"
ALONE = "alone"  # below the data set and below the results: the labelled animal alone


@dataclass(frozen=True)
class LookAlike:
    """One animal to follow in a video with others of its kind: a line of the list.

    Attributes:
        video: the name of the sequence.
        animal: its number in the annotations; the first frame is labelled.
        num_frames: of the video.
        source: where it comes from.
        crossing: what the other animal does, "-" if nobody said.
        half: "choose" or "evaluate".
        name: of its results, as of the video unless several of its animals are listed.
    """

    video: str
    animal: int
    num_frames: int
    source: str
    crossing: str
    half: Half
    name: str


def read_list(dataset: Path) -> list[LookAlike]:
    """Reads the list: per line the video, the animal, the number of frames and the source, and
    perhaps the crossing and the half. Without halves, every second video is for choosing.

    Raises:
        InputError: naming the file that is missing or that has another line.
    """
    path = Path(dataset) / LIST_FILE
    if not path.is_file():
        raise InputError(f"{path}: no such file. Make it: python -m benchmarks.look_alikes make")
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    for row in rows:
        if len(row) not in (4, 6) or not (row[1].isdecimal() and row[2].isdecimal()):
            raise InputError(
                f"{path}: expected a video, its animal's number, the number of frames and the "
                f"source, found: {' '.join(row)}"
            )
    videos = [row[0] for row in rows]
    order = list(dict.fromkeys(videos))
    found = []
    for video, animal, num_frames, source, *more in rows:
        crossing, half = more or ("-", ("choose", "evaluate")[order.index(video) % 2])
        name = video if videos.count(video) == 1 else f"{video}_{animal}"
        found.append(LookAlike(video, int(animal), int(num_frames), source, crossing, half, name))
    return found


def choose_look_alikes(dataset: Path, half: str, names: Sequence[str]) -> list[LookAlike]:
    """Reads the list and takes the part that the flags ask for.

    Args:
        dataset: folder of the list.
        half: "choose", "evaluate" or "both".
        names: of results; none are all.

    Raises:
        UsageError: for an unknown name, or if nothing is left.
        InputError: as `read_list`.
    """
    listed = read_list(dataset)
    unknown = set(names) - {item.name for item in listed}
    if unknown:
        raise UsageError(f"No {sorted(unknown)[0]} in {Path(dataset) / LIST_FILE}.")
    chosen = [item for item in listed if half in ("both", item.half)]
    chosen = [item for item in chosen if not names or item.name in names]
    if not chosen:
        raise UsageError(f"None of --sequences is in the half {half}.")
    return chosen


def write_list(dataset: Path, items: Sequence[LookAlike]) -> None:
    """Writes the list so that `read_list` gives it back."""
    lines = [
        f"{i.video} {i.animal} {i.num_frames} {i.source} {i.crossing} {i.half}\n" for i in items
    ]
    write_atomically(
        Path(dataset) / LIST_FILE,
        lambda temporary_path: temporary_path.write_text("".join(lines), encoding="utf-8"),
    )
