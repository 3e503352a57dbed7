"""What stage 3 is going to do with each video, after everything was checked and before training."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from utils.errors import InputError
from utils.files import sha256_of
from utils.inputs.guidance import Guidance, read_labels
from utils.inputs.sequences import VideoSequence
from utils.media.labels import LabelMap, labelled_animals
from utils.media.videos import Video
from utils.stage3.plan import PlannedVideo, disk_warning, find_pace, format_plan, plan_video
from utils.stage3.settings import Preset, Stillness
from utils.stage3.sharing import Sharing


@dataclass(frozen=True)
class Job:
    """One video, with everything that was checked before training.

    Attributes:
        sequence: the video and its labels.
        guidance: the labelled frames that are used.
        key: what the masks depend on.
        preset: of `--preset`, as far as it suits the number of animals.
        learns: False: a network that has been fine-tuned is used as it is.
        is_finished: an earlier run has done the same.
        stillness: which frames the network need not see; None: it sees all of them.
        sharing: how the one network that learns all labelled animals follows them; None: each has
            its own, or none is learnt.
    """

    sequence: VideoSequence
    guidance: Guidance
    key: dict[str, Any]
    preset: Preset
    learns: bool = True
    is_finished: bool = False
    stillness: Stillness | None = None
    sharing: Sharing | None = None

    @property
    def name(self) -> str:
        return self.sequence.name

    def read_labels(self) -> dict[int, LabelMap]:
        """Its labels, see `utils.inputs.guidance.read_labels`: those that `key` has the hashes of.

        Raises:
            InputError: also if one was changed since it was checked.
        """
        labels = read_labels(self.sequence, self.guidance.frames)
        for frame in labels:
            path = self.sequence.labels[frame]
            # After it was read: a change in between is noticed as well.
            if sha256_of(path) != self.key["sha256"]["labels"][str(frame)]:
                raise InputError(
                    f"{path}: the label changed since the program started; run it again."
                )
        return labels


def preset_for(preset: Preset, labels: Mapping[int, LabelMap], max_animals: int | None) -> Preset:
    """The preset of a video in which there are never more than so many animals of the kind.

    Args:
        preset: of `--preset`.
        labels: labelled frame -> its label.
        max_animals: of `--animals`; None: any number.

    Raises:
        InputError: if the labels show more.
    """
    labelled = labelled_animals(labels.values())
    if max_animals is None or len(labelled) < max_animals:
        return preset
    if len(labelled) > max_animals:
        raise InputError(
            f"The label shows {len(labelled)} animals, but --animals says that there are never "
            f"more than {max_animals}."
        )
    return preset.without_newcomers()


def key_of_found(key: dict[str, Any], num_animals: int) -> dict[str, Any]:
    """The key of a run, once it is known how many animals the video shows.

    Args:
        key: of a `Job`; without a label it says how several animals would be followed.
        num_animals: labelled or found.
    """
    return {name: value for name, value in key.items() if name != "sharing" or num_animals > 1}


def describe_jobs(
    jobs: Sequence[Job],
    failed: dict[str, str],
    preset: Preset,
    results_dir: Path,
    precision: str,
    runtime: str,
) -> str:
    """The table of all videos: state, size, estimated time and disk.

    Args:
        jobs: the videos that can be used.
        failed: names of the others, and what is wrong with them.
        preset: see `utils.stage3.settings.Preset`.
        results_dir: where the pace of earlier runs is found.
        precision: of the network.
        runtime: of `--runtime`.
    """
    pace = find_pace(results_dir, preset, precision, runtime)
    planned = []
    for job in jobs:
        frames = job.guidance.frames
        animals = read_labels(job.sequence, frames)[frames[0]].animals if frames else ()
        is_shared = "sharing" in job.key
        planned.append(
            plan_video(
                job.sequence.video,
                preset,
                pace,
                labelled=frames,
                animals=len(animals),
                networks=1 if preset.takes_prompts or is_shared else len(animals),
                looks=1 if is_shared else len(animals),
                learns=job.learns,
                is_finished=job.is_finished,
            )
        )
    planned += [PlannedVideo(name, "cannot be used, see above") for name in failed]
    shared = None
    if any("together" in job.key and not job.is_finished for job in jobs):
        shared = pace.minutes_to_learn(replace(preset, second_look=None))
    table = format_plan(planned, pace, shared)
    return "\n".join(filter(None, [table, disk_warning(planned, results_dir)]))


def share_labels(
    jobs: Sequence[Job],
    is_finished: Callable[[Video, dict[str, Any]], bool],
    left_out: Sequence[str] = (),
) -> list[Job]:
    """The same videos for one network: their masks depend on the labels of all of them.

    Args:
        jobs: each by itself.
        is_finished: whether the run of a video with this key was done before.
        left_out: names of videos that cannot be used, though they may have a label.

    Raises:
        InputError: if there are such videos, or none has a label.
    """
    if left_out:
        raise InputError(
            f"--together: {', '.join(left_out[:5])} cannot be used, see above, but may have a "
            "label. Without it another network might be learnt, and all videos segmented again. "
            "Repair what is wrong; or name the other videos alone, or move its labels elsewhere."
        )
    if not jobs:
        raise InputError("--together: none of the videos can be used, see above.")
    labelled = {
        job.name: {name: job.key["sha256"][name] for name in ("frames", "labels")}
        for job in jobs
        if job.guidance.frames
    }
    if not labelled:
        raise InputError(
            f"--together: expected a label of at least one of these videos, found none for "
            f"{', '.join(job.name for job in jobs[:5])}. Label one with annotate.py "
            "--video FILE --name NAME, where NAME is one of these."
        )
    shared = []
    for job in jobs:
        key = job.key | {"together": labelled}
        done = is_finished(job.sequence.video, key)
        shared.append(replace(job, key=key, learns=False, is_finished=done))
    return shared
