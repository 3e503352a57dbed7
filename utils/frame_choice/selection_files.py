"""The choice of a frame for one video, and the files that tell of it (docs/design.md).

BN0.txt, BNLF.txt and all.txt are the original's; rule.txt is of the same form; selection.json
keeps the whole rankings and what they were made from, so that a stale choice is made again.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from utils import paths
from utils.errors import InputError, UsageError
from utils.files import read_json, sha256_of, write_atomically, write_json
from utils.frame_choice.features import (
    Extractor,
    FrameFeatures,
    read_features,
    resnet_extractor,
    xception_extractor,
)
from utils.frame_choice.rules import (
    LINEAR_CUES,
    POSITION_RULES,
    rank_by_bubblenet,
    rank_by_rule,
)
from utils.inputs.guidance import DEFAULT_RULE, TRUSTED
from utils.media.videos import FrameFolder, Video
from utils.stage3.run_record import same_run
from utils.training.weights import load_weights, read_weights

BUBBLENETS = ("BNLF", "BN0")  # in the order in which the original and stage 3 go by them
RULE = "rule"
_METHOD = 1  # counts up when the way to choose changes, so that older choices are made again


@dataclass(frozen=True)
class Chooser:
    """What chooses: the trained networks that there are, their backbone, and a rule.

    Attributes:
        networks: "BN0" and "BNLF", those that are trained.
        extractor: None where nothing needs features.
        rule: one of `utils.frame_choice.rules.RULES`.
        coefficients: of the rule "linear".
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
        rankings: "BN0", "BNLF" (where trained) and "rule" -> frames, best first.
        rule: the rule's name.
        is_new: whether it was made now, not read.
    """

    video_name: str
    rankings: dict[str, list[int]]
    rule: str
    is_new: bool

    @property
    def chosen_by(self) -> str:
        """Who has the last word: the most trusted of those that can choose."""
        return next(name for name in TRUSTED if name in self.rankings)

    @property
    def is_by_network(self) -> bool:
        """Whether a trained network had a say."""
        return any(name in self.rankings for name in BUBBLENETS)

    def frames(self, selection: str) -> list[int]:
        """The frames that stage 3 gets for `--selection`, best first; the rule's where there is no
        such network."""
        if selection == "all" and self.is_by_network:
            return suggestions(self.rankings)
        return self.rankings.get(selection, self.rankings[RULE])

    def reason(self, selection: str) -> str:
        """In words, who chose `frames(selection)`."""
        if selection == "all" and self.is_by_network:
            return "the BubbleNets"
        if selection != RULE and selection in self.rankings:
            return f"BubbleNet {selection}"
        missing = "" if selection == "all" else f" {selection}"
        why = "" if selection == RULE else f", since no BubbleNet{missing} is trained"
        return f"the rule {self.rule}{why}"


def load_chooser(
    build_model: Callable[..., keras.Model],
    build_bubblenet: Callable[..., keras.Model],
    features: str | None = None,
    rule: str = DEFAULT_RULE,
) -> Chooser:
    """Loads the networks in `weights/bubblenet_weights/`, and the backbone they were trained on.

    Args:
        build_model: `models.build_model`.
        build_bubblenet: `models.bubblenets.build_bubblenet`.
        features: one of `utils.frame_choice.features.SOURCES`; None takes that of the networks.
        rule: chooses beside them, and alone where there are none.

    Raises: InputError for weights that do not fit or are missing; UsageError for `features` that
        the networks were not trained on.
    """
    networks, facts = {}, {}
    for name in BUBBLENETS:
        path = paths.BUBBLENET_WEIGHTS / f"{name}.safetensors"
        if path.is_file():
            networks[name], facts[name] = _load_bubblenet(path, name, build_bubblenet)
    source, sha256 = _features_of(facts, features)
    coefficients = read_linear_rule(paths.LINEAR_RULE_FILE) if rule == "linear" else ()
    extractor = None
    if networks or rule not in POSITION_RULES:
        extractor = _load_extractor(source, sha256, build_model)
    key = {
        "method": _METHOD,
        "rule": rule,
        "coefficients": list(coefficients),
        "networks": {name: facts[name]["sha256"] for name in networks},
        "features": extractor and [extractor.source, extractor.weights_sha256],
    }
    return Chooser(networks, extractor, rule, coefficients, key)


def choose_frames(
    video: Video,
    folder: Path,
    chooser: Chooser,
    progress: Callable[[range, str], range] = lambda frames, title: frames,
    write: bool = True,
) -> Selection:
    """Ranks the frames of a video and writes the files, or finds them made from the same.

    Args:
        video: checked (`Video.check`).
        folder: `paths.frame_selection_dir` of the video.
        progress: wraps the frames for display: (frames, title).
        write: False leaves the disk as it is (a dry run).
    """
    key = {**chooser.key, "frames": video.sha256()}
    record = read_json(folder / paths.SELECTION_RECORD)
    if same_run(record, key) and _is_complete(folder, record, video):
        return Selection(video.name, record["rankings"], chooser.rule, is_new=False)
    features = None
    if chooser.extractor is not None:
        cache = folder / f"features_{chooser.extractor.source}.npz"
        features = read_features(video, chooser.extractor, cache if write else None, progress)
    rankings = _rank(chooser, len(video), features)
    if write:
        _remove_stale(folder, record, rankings)
        write_selection(folder, video, rankings)
        write_json(folder / paths.SELECTION_RECORD, {"key": key, "rankings": rankings})  # last
    return Selection(video.name, rankings, chooser.rule, is_new=True)


def read_selection(folder: Path, selection: str, frame_names: Sequence[str]) -> list[int]:
    """Frames that `bubblenet_select.py` (or the original BubbleNets) suggests.

    Args:
        folder: of BN0.txt, BNLF.txt, all.txt: a header line, then index and file name of each
            suggestion.
        selection: the file's stem.
        frame_names: stems of the video's frames; where a file name is one of them it counts, else
            the index.

    Returns: indices, best first; empty if there is no such file.

    Raises: InputError if the file is not of that form.
    """
    path = folder / f"{selection}.txt"
    if not path.is_file():
        return []
    lines = [
        line.strip()
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip()
    ]
    stems = {name: index for index, name in enumerate(frame_names)}
    frames = []
    for number, name in zip(lines[1::2], lines[2::2], strict=False):
        if not number.isdecimal() or int(number) >= len(frame_names):
            break
        frames.append(stems.get(Path(name).stem, int(number)))
    if not frames or len(lines) != 1 + 2 * len(frames):
        raise InputError(
            f"{path}: expected a header, then index and file name of frames 0 to "
            f"{len(frame_names) - 1}. "
            "Run bubblenet_select.py again."
        )
    return frames


def find_selection(
    video: Video,
    folder: Path,
    selections: Sequence[str],
    load: Callable[[], Chooser] | None = None,
    write: bool = True,
) -> tuple[list[int], str]:
    """What stage 3 goes by: the selection on disk, else one made now.

    Args:
        folder: `paths.frame_selection_dir` of the video.
        selections: "BNLF", "BN0", "all" or "rule", or several, of which the first that is there
            counts.
        load: gives the chooser where a selection has to be made, of the first of `selections`;
            None makes none.
        write: whether a selection made now is kept.

    Returns: frames, best first, and in words who chose; empty and "" if there is no selection, or
        only one of other frames than the video's, and none is to be made.

    Raises: InputError for a broken selection file or video, or weights that do not fit.
    """
    for selection in selections:
        selected = read_selection(folder, selection, video.frame_names)
        if selected and not is_outdated(folder, video.sha256()):
            frames = read_ranking(folder, selection, selected)
            return frames, f"bubblenet_select.py ({selection})"
    if load is None:
        return [], ""
    video.check()
    choice = choose_frames(video, folder, load(), write=write)
    return choice.frames(selections[0]), choice.reason(selections[0])


def suggestions(rankings: dict[str, Sequence[int]]) -> list[int]:
    """The networks' choices, each once, in the order of the video, as the original lists them."""
    return sorted({rankings[name][0] for name in BUBBLENETS if name in rankings})


def write_selection(folder: Path, video: Video, rankings: dict[str, Sequence[int]]) -> None:
    """Writes BN0.txt, BNLF.txt, rule.txt (those that are ranked) and, with networks, all.txt."""
    for name, ranking in rankings.items():
        _write_lines(folder / f"{name}.txt", name, ranking[:1], video)
    frames = suggestions(rankings)
    if frames:
        # In the plural for one, too, as the original writes it.
        header = f"{len(frames)} suggested annotations for {video.name}"
        _write_lines(folder / "all.txt", header, frames, video)


def frame_file(video: Video, frame: int) -> str:
    """The name of a frame's file; of a video file, the one that extraction would give it."""
    if isinstance(video, FrameFolder):
        return video.frame_paths[frame].name
    return f"{video.frame_names[frame]}.jpg"


def read_ranking(folder: Path, selection: str, selected: Sequence[int]) -> list[int]:
    """All frames in the order of a selection, for the best of those that are labelled.

    Args:
        folder, selection: as in `read_selection`.
        selected: what that found; it goes first.

    Returns: `selected`, then the rest of the ranking if selection.json has it and it begins with
        the same frame (a file written by hand or by the original has no ranking).
    """
    record = read_json(folder / paths.SELECTION_RECORD)
    ranking = record.get("rankings", {}).get(selection, []) if isinstance(record, dict) else []
    if not selected or ranking[:1] != list(selected[:1]):
        return list(selected)
    return [*selected, *(frame for frame in ranking if frame not in selected)]


def is_outdated(folder: Path, frames_sha256: str) -> bool:
    """Whether the selection there was made by this project from other frames than these.

    Args:
        frames_sha256: of `Video.sha256`.
    """
    record = read_json(folder / paths.SELECTION_RECORD)
    return isinstance(record, dict) and record.get("key", {}).get("frames") != frames_sha256


def read_linear_rule(path: Path) -> tuple[float, ...]:
    """The coefficients that train_bubblenet.py wrote. Raises: InputError."""
    try:
        rule = json.loads(path.read_text(encoding="utf-8"))
        if rule["cues"] == list(LINEAR_CUES):
            return tuple(float(value) for value in rule["coefficients"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise InputError(
        f"{path}: expected coefficients for {', '.join(LINEAR_CUES)}, found none. "
        "Run train_bubblenet.py."
    )


def write_linear_rule(path: Path, coefficients: Sequence[float]) -> None:
    """Writes the coefficients of `utils.frame_choice.rules.fit_linear`."""
    write_json(path, {"cues": list(LINEAR_CUES), "coefficients": [float(c) for c in coefficients]})


def _load_bubblenet(path, name, build_bubblenet):
    tensors, _ = read_weights(path)
    kernel = tensors.get("fc1/kernel", np.zeros((5 * 2049, 256)))
    network = build_bubblenet(name, len(kernel) // 5 - 1)
    return network, load_weights(network, path)


def _features_of(facts, wanted):
    """The source of the features that the networks know, and its hash ("" where not known)."""
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


def _load_extractor(source, sha256, build_model):
    if source == "resnet50v2":
        files = [paths.RESNET_WEIGHTS_FILE]
    else:
        stages = (paths.OBJECTNESS_WEIGHTS, paths.PASCAL_BASE_WEIGHTS)
        files = [paths.IMAGENET_WEIGHTS_FILE, *(s / "deeplab.safetensors" for s in stages)]
    fitting = [f for f in files if not sha256 or (f.is_file() and sha256_of(f) == sha256)]
    if not fitting:
        raise InputError(
            f"The networks in {paths.BUBBLENET_WEIGHTS} were trained on {source} features of "
            f"weights with sha256 {sha256[:12]}..., none of {', '.join(map(str, files))} has it. "
            "Restore that file, or train them again with train_bubblenet.py."
        )
    if source == "resnet50v2":
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


def _is_complete(folder, record, video):
    """Whether the files still say what the record says; a file changed by hand is made again."""
    expected = {name: ranking[:1] for name, ranking in record["rankings"].items()}
    if suggestions(record["rankings"]):
        expected["all"] = suggestions(record["rankings"])
    for name, frames in expected.items():
        path = folder / f"{name}.txt"
        lines = [line for frame in frames for line in (str(frame), frame_file(video, frame))]
        if not path.is_file() or path.read_text("utf-8", "replace").splitlines()[1:] != lines:
            return False
    return True


def _remove_stale(folder, record, rankings):
    """Removes choices of ours that were made from other weights or frames and are not made now.

    Files without a record are the original's or written by hand, and stay.
    """
    old = record.get("rankings", {}) if isinstance(record, dict) else {}
    stale = [name for name in old if name not in rankings]
    if suggestions(old) and not suggestions(rankings):
        stale.append("all")
    for name in stale:
        (folder / f"{name}.txt").unlink(missing_ok=True)


def _write_lines(path, header, frames, video):
    lines = [header, *(f"{frame}\n{frame_file(video, frame)}" for frame in frames)]
    text = "".join(f"{line}\n" for line in lines)
    write_atomically(path, lambda aside: aside.write_text(text, encoding="utf-8"))
