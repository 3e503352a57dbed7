"""The archives that the data sets come in: how each is recognised and where its files go."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from utils import paths
from utils.archives.archives import list_members
from utils.archives.object_masks import (
    decode_image,
    encode_mask,
    mask_from_sbd,
    mask_from_voc,
)
from utils.errors import InputError

ORIGINAL = "the original project"
ORIGINAL_ADDRESS = "https://github.com/tengfeixue-victor/One-Shot-Animal-Video-Segmentation"
# The seven animal videos of DAVIS 2016's validation set that the paper scores, and their lengths.
TEST_SEQUENCES = {
    "blackswan": 50,
    "camel": 90,
    "cows": 104,
    "dog": 60,
    "goat": 90,
    "horsejump-high": 50,
    "libby": 49,
}
_ID = "([A-Za-z0-9_-]+)"


@dataclass(frozen=True)
class Rule:
    """Turns the members whose names match a pattern into files.

    Attributes:
        pattern: matches a member's whole name, whatever folders lie around it.
        folder: where its file goes.
        name: name of the file below `folder`, with the pattern's groups as \\1, \\2.
        convert: makes the file's bytes from the member's; raises InputError if they are damaged.
    """

    pattern: re.Pattern
    folder: Path
    name: str
    convert: Callable[[bytes], bytes]

    def target(self, member: str) -> Path | None:
        """Returns the file that a member becomes, None if its name does not match."""
        match = self.pattern.fullmatch(member)
        return self.folder / match.expand(self.name) if match else None


@dataclass(frozen=True)
class Source:
    """An archive as it is distributed.

    Attributes:
        name: the data in it; masks made from it are marked with this name.
        evidence: a pattern that matches some member's name in it, and none in other archives.
        rules: the first rule that gives a file is used for it.
        as_it_is: everything that matches a rule is wanted, not only what the lists name.
        file_name: its official name, for the download.
        url: its official address, "" if there is none.
        num_bytes: its size; an estimate if there is no checksum.
        sha256: its checksum, None if none is published.
        unpacked_bytes: about how much is written from it, at most.
        adds: what it contains that no other archive does.
    """

    name: str
    evidence: str
    rules: tuple[Rule, ...]
    as_it_is: bool = False
    file_name: str = ""
    url: str = ""
    num_bytes: int = 0
    sha256: str | None = None
    unpacked_bytes: int = 0
    adds: str = ""


@dataclass(frozen=True)
class Archive:
    """A file in the archives' folder.

    Attributes:
        path: the file.
        source: what it is, None if it is unusable.
        members: name -> size in bytes.
        problem: why it is unusable.
        is_broken: whether it is damaged, not just another archive.
    """

    path: Path
    source: Source | None
    members: dict[str, int]
    problem: str = ""
    is_broken: bool = False


def open_archive(path: Path, sources: tuple[Source, ...]) -> Archive:
    """Lists an archive and recognises it by its content; a broken one is no exception."""
    try:
        members = list_members(path)
    except InputError as error:
        return Archive(path, None, {}, str(error), is_broken=True)
    names = "\n".join(members)
    if re.search(r"^(.*/)?ImageSets/2017/", names, re.MULTILINE):
        return Archive(path, None, members, f"{path.name} is DAVIS 2017; DAVIS 2016 is needed")
    for source in sources:
        if re.search(f"^(.*/)?{source.evidence}", names, re.MULTILINE):
            return Archive(path, source, members)
    return Archive(path, None, members, f"{path.name} holds none of the known data sets")


def pascal_sources() -> tuple[Source, ...]:
    """Returns the archives of stage 1's data set, the best masks first."""
    folder, voc, sbd = paths.PASCAL_DATASET, "PASCAL VOC 2012", "SBD"
    voc_mask, sbd_mask = _mask(mask_from_voc, voc), _mask(mask_from_sbd, sbd)
    image, mask = r"JPEGImages/\1.jpg", r"Annotations/\1.png"
    return (
        Source(
            name=voc,
            # The images alone would not do: the archive of the test has the same folder.
            evidence="VOC2012/Segmentation(Object|Class)/",
            rules=(
                _rule(rf"VOC2012/JPEGImages/{_ID}\.jpg", folder, image, _copy_image),
                _rule(rf"VOC2012/SegmentationObject/{_ID}\.png", folder, mask, voc_mask),
                _rule(rf"VOC2012/SegmentationClass/{_ID}\.png", folder, mask, voc_mask),
            ),
            file_name="VOCtrainval_11-May-2012.tar",
            # The permanent address that its maintainers give (github.com/pytorch/vision/pull/9216).
            url="https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
            num_bytes=1_999_639_040,
            sha256="e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
            unpacked_bytes=1_400_000_000,
            adds="the 632 images of 2007, and finer masks with void borders for about 2 300 others",
        ),
        Source(
            name=sbd,
            # Any img/ or cls/ would not do: the demo folder has them as well.
            evidence="dataset/(img|inst|cls)/",
            rules=(
                _rule(rf"dataset/img/{_ID}\.jpg", folder, image, _copy_image),
                _rule(rf"dataset/inst/{_ID}\.mat", folder, mask, sbd_mask),
                _rule(rf"dataset/cls/{_ID}\.mat", folder, mask, sbd_mask),
            ),
            file_name="benchmark.tgz",
            url="https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/"
            "semantic_contours/benchmark.tgz",
            num_bytes=1_419_539_633,
            sha256="6a5a2918d5c73ce032fdeba876574d150d9d04113ab87540a1304cbcc715be53",
            unpacked_bytes=1_400_000_000,
            adds="the 11 355 images that are not of 2007, the whole of the default list",
        ),
        _original(paths.PASCAL_DATASET, rf"(JPEGImages|Annotations)/{_ID}\.(jpg|png)", r"\1/\2.\3"),
    )


def davis_sources() -> tuple[Source, ...]:
    """Returns the archives of stage 2's training videos and of the paper's test videos."""
    test = rf"480p/({'|'.join(TEST_SEQUENCES)})/([0-9]+)"
    videos = (
        (test, paths.FINETUNE_TEST_DATASET, r"480p/\1/\2"),
        (rf"480p/{_ID}/([0-9]+)", paths.DAVIS_TRAIN_DATASET, r"\1/\2"),
    )
    return (
        _original(
            paths.DAVIS_TRAIN_DATASET,
            rf"(JPEGImages|Annotations)/{_ID}/([0-9]+)\.(jpg|png)",
            r"\1/\2/\3.\4",
        ),
        _original(
            paths.FINETUNE_TEST_DATASET,
            rf"(JPEGImages|Annotations)/480p/{_ID}/([0-9]+)\.(jpg|png)",
            r"\1/480p/\2/\3.\4",
        ),
        Source(
            name="DAVIS 2016",
            evidence="JPEGImages/480p/",
            rules=tuple(
                _rule(f"{kind}/{frame}[.]{suffix}", dataset, f"{kind}/{name}.{suffix}", _copy_image)
                for frame, dataset, name in videos
                for kind, suffix in (("JPEGImages", "jpg"), ("Annotations", "png"))
            ),
            file_name="DAVIS-data.zip",
            # No checksum, because the file was replaced several times and copies differ. Every
            # member of a zip has a checksum of its own.
            url="https://graphics.ethz.ch/Downloads/Data/Davis/DAVIS-data.zip",
            num_bytes=1_900_000_000,
            unpacked_bytes=400_000_000,
            adds="the 30 training videos and the seven test videos",
        ),
    )


def _original(dataset: Path, pattern: str, name: str) -> Source:
    """Returns the original project's archive of a data set, which is already in its final form."""
    rule = _rule(f"{dataset.name}/{pattern}", dataset, name, _copy_image)
    return Source(f"{ORIGINAL}'s {dataset.name}", f"{dataset.name}/", (rule,), as_it_is=True)


def _rule(pattern: str, folder: Path, name: str, convert: Callable[[bytes], bytes]) -> Rule:
    return Rule(re.compile(f"(?:.*/)?{pattern}"), folder, name, convert)


def _copy_image(data: bytes) -> bytes:
    """Returns the same bytes, once they are known to be a complete image."""
    decode_image(data)
    return data


def _mask(read: Callable[[bytes], np.ndarray], source: str) -> Callable[[bytes], bytes]:
    return partial(_convert_mask, read, source)


def _convert_mask(read: Callable[[bytes], np.ndarray], source: str, data: bytes) -> bytes:
    return encode_mask(read(data), source)
