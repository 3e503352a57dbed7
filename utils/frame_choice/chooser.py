"""What chooses the frame to label: the trained BubbleNets that there are, and a rule."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from models import build_model
from models.bubblenets import build_bubblenet
from utils import paths
from utils.errors import InputError, UsageError
from utils.files import check_writable, sha256_of
from utils.frame_choice.features import (
    Extractor,
    FrameFeatures,
    read_features,
    resnet_extractor,
    xception_extractor,
)
from utils.frame_choice.ranking import rank_by_bubblenet
from utils.frame_choice.rules import POSITION_RULES, rank_by_rule, read_linear_rule
from utils.frame_choice.selection_files import (
    BUBBLENETS,
    RULE,
    is_outdated,
    read_current_rankings,
    read_ranking,
    read_selection,
    save_rankings,
    suggestions,
)
from utils.inputs.guidance import DEFAULT_RULE, SELECTION_PREFERENCE
from utils.inputs.sequences import VideoSequence
from utils.media.videos import Video
from utils.training.weights import load_weights, read_weights

_METHOD = 1  # increased whenever the way to choose changes, so that older choices are made again


@dataclass(frozen=True)
class Chooser:
    """The trained networks that there are, their backbone, and a rule.

    Attributes:
        networks: "BN0" and "BNLF", those that are trained.
        extractor: None if nothing needs features.
        rule: one of `utils.frame_choice.rules.RULES`.
        coefficients: the coefficients of the rule "linear".
        key: hashes and names that the choice depends on.
    """

    networks: dict[str, keras.Model]
    extractor: Extractor | None
    rule: str
    coefficients: tuple[float, ...]
    key: dict


@dataclass(frozen=True)
class Selection:
    """The choice for one video.

    Attributes:
        video_name: the video.
        rankings: "BN0", "BNLF" (where trained) and "rule" -> frames, best first.
        rule: the rule's name.
        is_new: whether it was made now, not read from disk.
    """

    video_name: str
    rankings: dict[str, list[int]]
    rule: str
    is_new: bool

    @property
    def chosen_by(self) -> str:
        """The most trusted of those that can choose; its first frame is the one to label."""
        return next(name for name in SELECTION_PREFERENCE if name in self.rankings)

    @property
    def is_by_network(self) -> bool:
        """Whether a trained network took part."""
        return any(name in self.rankings for name in BUBBLENETS)

    def frames(self, selection: str) -> list[int]:
        """Returns the frames that stage 3 gets for `--selection`, best first.

        Without such a network they are those of the rule.
        """
        if selection == "all" and self.is_by_network:
            return suggestions(self.rankings)
        return self.rankings.get(selection, self.rankings[RULE])

    def reason(self, selection: str) -> str:
        """Returns in words who chose `frames(selection)`."""
        if selection == "all" and self.is_by_network:
            return "the BubbleNets"
        if selection != RULE and selection in self.rankings:
            return f"BubbleNet {selection}"
        missing = "" if selection == "all" else f" {selection}"
        why = "" if selection == RULE else f", since no BubbleNet{missing} is trained"
        return f"the rule {self.rule}{why}"


def load_chooser(features: str | None = None, rule: str = DEFAULT_RULE) -> Chooser:
    """Loads the networks in `weights/bubblenet_weights/` and the backbone they were trained on.

    Args:
        features: one of `utils.frame_choice.features.SOURCES`; None takes that of the networks.
        rule: chooses beside the networks, and alone if there are none.

    Raises:
        InputError: if weights do not fit or are missing.
        UsageError: if the networks were not trained on `features`.
    """
    policy = keras.config.dtype_policy()
    # What is chosen, and the features that are kept, must not depend on the precision of a run.
    keras.config.set_dtype_policy("float32")
    try:
        return _load(features, rule)
    finally:
        keras.config.set_dtype_policy(policy)


def _load(features, rule) -> Chooser:
    networks, facts = {}, {}
    for name in BUBBLENETS:
        path = paths.BUBBLENET_WEIGHTS / f"{name}.safetensors"
        if path.is_file():
            networks[name], facts[name] = _load_bubblenet(path, name)
    source, sha256 = _features_of(facts, features)
    coefficients = read_linear_rule(paths.LINEAR_RULE_FILE) if rule == "linear" else ()
    extractor = None
    if networks or rule not in POSITION_RULES:
        extractor = _load_extractor(source, sha256, has_networks=bool(networks))
    key = {
        "method": _METHOD,
        "rule": rule,
        "coefficients": list(coefficients),
        "networks": {name: facts[name]["sha256"] for name in networks},
        "features": extractor and [extractor.source, extractor.weights_sha256],
    }
    return Chooser(networks, extractor, rule, coefficients, key)


def rank_video(
    video: Video,
    folder: Path,
    chooser: Chooser,
    progress: Callable[[range, str], range] = lambda frames, title: frames,
    write: bool = True,
) -> Selection:
    """Ranks the frames of a video and writes the selection, or reads one made from the same.

    Args:
        video: already checked by `Video.check`.
        folder: `paths.frame_selection_dir` of the video.
        chooser: what ranks the frames.
        progress: wraps the frames for display, called with (frames, title).
        write: False leaves the disk as it is (a dry run).

    Raises:
        InputError: before a frame is looked at, if the selection is to be written to `folder` and
            cannot be.
    """
    key = {**chooser.key, "frames": video.sha256()}
    rankings = read_current_rankings(folder, key, video)
    if rankings is not None:
        return Selection(video.name, rankings, chooser.rule, is_new=False)
    if write:
        check_writable(folder, "a copy of the data set that can be written to (--dataset)")
    features = None
    if chooser.extractor is not None:
        cache = folder / f"features_{chooser.extractor.source}.npz"
        features = read_features(video, chooser.extractor, cache if write else None, progress)
    rankings = _rank(chooser, len(video), features)
    if write:
        save_rankings(folder, key, video, rankings)
    return Selection(video.name, rankings, chooser.rule, is_new=True)


def find_selection(
    video: Video,
    folder: Path,
    selections: Sequence[str],
    load: Callable[[], Chooser] | None = None,
    write: bool = True,
) -> tuple[list[int], str]:
    """Finds the frames that stage 3 considers: the selection on disk, else one made now.

    Args:
        video: the video.
        folder: `paths.frame_selection_dir` of the video.
        selections: "BNLF", "BN0", "all" or "rule", or several, of which the first found counts.
        load: returns the chooser that makes the first of `selections` if none is found; None makes
            none.
        write: whether a selection made now is kept.

    Returns:
        frames, best first, and in words who chose them. Empty and "" if there is no selection, or
        only an outdated one, and none is to be made.

    Raises:
        InputError: if a selection file or the video is broken, or weights do not fit.
    """
    # First: of a longer video of this name, a selection has frames that this one lacks.
    is_of_others = folder.is_dir() and is_outdated(folder, video.sha256())
    for selection in () if is_of_others else selections:
        selected = read_selection(folder, selection, video.frame_names)
        if selected:
            frames = read_ranking(folder, selection, selected)
            return frames, f"bubblenet_select.py ({selection})"
    if load is None:
        return [], ""
    video.check()
    choice = rank_video(video, folder, load(), write=write)
    return choice.frames(selections[0]), choice.reason(selections[0])


def select_frames(
    sequence: VideoSequence,
    guidance: str,
    selection: str | None,
    folder: Path,
    load: Callable[[], Chooser],
    write: bool,
) -> tuple[list[int], str]:
    """What `--guidance` and `--selection` of stage 3 ask for.

    Args:
        sequence: the video, not a part of it.
        guidance, selection: the flags.
        folder, load, write: as of `find_selection`; a chooser is loaded for `bubblenet` alone.

    Returns: as `find_selection`; nothing if the labelled frame is named otherwise.
    """
    if guidance == "auto":
        wanted = (selection,) if selection else SELECTION_PREFERENCE
        return find_selection(sequence.video, folder, wanted)
    if guidance == "bubblenet":
        return find_selection(sequence.video, folder, (selection or "BNLF",), load, write)
    return [], ""


def _load_bubblenet(path, name):
    tensors, _ = read_weights(path)
    kernel = tensors.get("fc1/kernel", np.zeros((5 * 2049, 256)))
    network = build_bubblenet(name, len(kernel) // 5 - 1)
    return network, load_weights(network, path)


def _features_of(facts, wanted):
    """Returns the source of the features that the networks know, and its hash ("" if unknown)."""
    known = {(f.get("features", ""), f.get("features_sha256", "")) for f in facts.values()}
    if len(known) > 1:
        raise InputError(
            f"{paths.BUBBLENET_WEIGHTS}: BN0 and BNLF were trained on different features "
            f"({', '.join(' '.join(pair)[:24] for pair in sorted(known))}). Train both again with "
            "train_bubblenet.py, or remove one."
        )
    source, sha256 = known.pop() if known else ("", "")
    if source and wanted and wanted != source:
        raise UsageError(
            f"--features {wanted}: the networks in {paths.BUBBLENET_WEIGHTS} were trained on "
            f"{source}. Leave --features out."
        )
    return source or wanted or "xception", sha256


def _load_extractor(source, sha256, has_networks):
    if source == "resnet50v2":
        files = [paths.RESNET_WEIGHTS_FILE]
    else:
        stages = (paths.OBJECTNESS_WEIGHTS, paths.PASCAL_BASE_WEIGHTS)
        files = [paths.IMAGENET_WEIGHTS_FILE, *(s / "deeplab.safetensors" for s in stages)]
    fitting = [f for f in files if not sha256 or (f.is_file() and sha256_of(f) == sha256)]
    if not fitting:
        raise InputError(
            f"The networks in {paths.BUBBLENET_WEIGHTS} were trained on {source} features of "
            f"weights with sha256 {sha256[:12]}..., which none of {', '.join(map(str, files))} "
            "has. Restore that file, or train them again with train_bubblenet.py."
        )
    if source == "resnet50v2":
        if has_networks and not fitting[0].is_file():
            raise InputError(
                f"{fitting[0]}: expected the weights of ResNet-50 V2, on which the networks in "
                f"{paths.BUBBLENET_WEIGHTS} were trained, found no such file. Save there what "
                "keras.applications.ResNet50V2(include_top=False) downloads, or put back the "
                "included networks."
            )
        return resnet_extractor(fitting[0])
    model = build_model("deeplab", output_stride=32)
    return xception_extractor(model, load_weights(model, fitting[0])["sha256"])


def _rank(chooser: Chooser, num_frames: int, features: FrameFeatures | None):
    rankings = {
        name: rank_by_bubblenet(network, features.vectors)
        for name, network in chooser.networks.items()
    }
    rankings[RULE] = rank_by_rule(chooser.rule, num_frames, features, chooser.coefficients)
    return rankings
