"""Makes the data sets of stages 1 and 2 and the paper's test videos from their archives.

Without arguments it says what is present and what is missing.

Reads   datasets/archives/ (--archives): VOCtrainval_11-May-2012.tar (PASCAL VOC 2012),
        benchmark.tgz (SBD), DAVIS-data.zip (DAVIS 2016), or the original project's
        pascal_extension_dataset.zip, DAVIS2016_train_dataset.zip, finetune_test_dataset.zip. They
        are recognised by their content, not by their names; --download fetches the official ones.
        The lists datasets/*.txt say what is needed.

Writes  datasets/pascal_extension_dataset/{JPEGImages,Annotations}/ID.{jpg,png}: 0 background,
        255 object, 128 void; from VOC if it has the image, else from SBD, whose masks are coarser.
        datasets/DAVIS2016_train_dataset/{JPEGImages,Annotations}/SEQ/ and
        datasets/finetune_test_dataset/{JPEGImages,Annotations}/480p/SEQ/, unchanged.

Each data set takes some minutes; the downloads are 3.4 GB and 1.9 GB. A second run continues where
the first was stopped. Files that you put there yourself are never replaced. The exit status for a
data set is 1 as long as a list names a missing file; that of the report is 0. The data belong to
their owners: DAVIS, for one, is not for commercial use.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from utils import paths
from utils.archives.archives import list_archives
from utils.archives.downloads import download, require_free_space
from utils.archives.pair_check import Pair, report_pairs
from utils.archives.sources import (
    ORIGINAL,
    ORIGINAL_ADDRESS,
    TEST_SEQUENCES,
    Archive,
    Source,
    davis_sources,
    open_archive,
    pascal_sources,
)
from utils.archives.unpacking import make_plan, new_bytes, unpack
from utils.command_line import flag_words, run_script, setting, shown_words
from utils.errors import InputError, UsageError, one_line
from utils.training.pair_lists import read_pairs


@dataclass(frozen=True)
class Config:
    data_sets: tyro.conf.Positional[tuple[Literal["pascal", "davis"], ...]] = setting(
        (), "pascal for stage 1, davis for stage 2 and the test videos; without it, a report"
    )
    archives: Path = setting(paths.ARCHIVES, "folder with the archives")
    download: bool = setting(False, "download missing archives from their official addresses")


def main(config: Config) -> int:
    if config.download and not config.data_sets:
        raise UsageError("--download needs the name of a data set: pascal, davis or both.")
    if not config.archives.exists() and config.archives != paths.ARCHIVES and not config.download:
        raise InputError(f"{config.archives}: expected a folder, found nothing; see --archives.")
    archives = open_archives(config.archives)
    if not config.data_sets:
        for name in ("pascal", "davis"):
            pairs = needed_pairs(name)
            print()
            if not report(name, pairs, look_inside=False):
                print_next_steps(name, archives, config.archives)
        return 0
    complete = [prepare(name, archives, config) for name in dict.fromkeys(config.data_sets)]
    return 0 if all(complete) else 1


def prepare(name: str, archives: list[Archive], config: Config) -> bool:
    """Makes one data set. Returns whether it is complete and nothing failed."""
    sources, pairs = sources_of(name), needed_pairs(name)
    needed = {path for listed in pairs.values() for pair in listed for path in pair}
    plan = make_plan(sources, archives, needed)
    if config.download:
        planned = {item.target for item in plan}
        if not all(path.is_file() for path in needed - planned):
            download_missing(sources, archives, config.archives)
            archives[:] = open_archives(config.archives, archives)
            plan = make_plan(sources, archives, needed)
    require_free_space({paths.DATASETS: new_bytes(plan)})
    failed = any(archive.is_broken for archive in archives)
    used = [archive for archive in archives if any(item.archive is archive for item in plan)]
    for archive in used:
        try:
            unpack(archive, plan)
        except InputError as error:
            print_problem("error", one_line(error))
            failed = True
    complete = report(name, pairs, look_inside=True)
    is_partial = any(a.source.url for a in used) and missing_sources(sources, archives)
    if not complete or is_partial:
        print_next_steps(name, archives, config.archives)
    return complete and not failed


def sources_of(name: str) -> tuple[Source, ...]:
    return pascal_sources() if name == "pascal" else davis_sources()


def open_archives(folder: Path, known: Sequence[Archive] = ()) -> list[Archive]:
    """Lists the archives of a folder that are not known yet; says which ones cannot be used."""
    archives = list(known)
    known_paths = {archive.path for archive in known}
    for path in list_archives(folder):
        if path in known_paths:
            continue
        print(f"reading {path}", flush=True)
        archive = open_archive(path, pascal_sources() + davis_sources())
        if archive.problem:
            print_problem("error" if archive.is_broken else "not used", archive.problem)
        archives.append(archive)
    return archives


def needed_pairs(name: str) -> dict[str, list[Pair]]:
    """Returns the image and mask files that each list of a data set names.

    Raises:
        InputError: if there is no list, or one is malformed.
    """
    if name == "pascal":
        dataset = paths.PASCAL_DATASET
        lists = (paths.PASCAL_LIST, paths.PASCAL_VALIDATION_LIST, paths.PASCAL_FULL_LIST)
    else:
        dataset = paths.DAVIS_TRAIN_DATASET
        lists = (paths.DAVIS_LIST, paths.DAVIS_VALIDATION_LIST)
    pairs = {
        path.name: [(dataset / image, dataset / mask) for image, mask in read_pairs(path)]
        for path in lists
        if path.exists()
    }
    if not pairs:
        raise InputError(
            f"{lists[0].parent}: expected one of {', '.join(path.name for path in lists)}, found "
            "none; restore them with git checkout."
        )
    if name == "davis":
        images = paths.FINETUNE_TEST_DATASET / "JPEGImages" / "480p"
        masks = paths.FINETUNE_TEST_DATASET / "Annotations" / "480p"
        pairs["the seven test videos"] = [
            (images / sequence / f"{i:05d}.jpg", masks / sequence / f"{i:05d}.png")
            for sequence, num_frames in TEST_SEQUENCES.items()
            for i in range(num_frames)
        ]
    return pairs


def download_missing(sources: Sequence[Source], archives: Sequence[Archive], folder: Path) -> None:
    """Downloads the official archives that are missing; says which ones failed."""
    for source in missing_sources(sources, archives):
        path = folder / source.file_name
        part = path.with_name(path.name + ".part")
        downloaded = part.stat().st_size if part.exists() else 0
        try:
            if path.exists():
                raise InputError(
                    f"{path}: expected {source.name}, found something else; remove it."
                )
            remaining = max(0, source.num_bytes - downloaded)
            require_free_space({folder: remaining, paths.DATASETS: source.unpacked_bytes})
            num_bytes = source.num_bytes if source.sha256 else None  # without a hash, an estimate
            download(source.url, path, num_bytes, source.sha256)
        except InputError as error:
            print_problem("error", one_line(error))


def missing_sources(sources: Sequence[Source], archives: Sequence[Archive]) -> list[Source]:
    """Returns the official archives that are missing."""
    present = {archive.source.name for archive in archives if archive.source}
    return [source for source in sources if source.url and source.name not in present]


def report(name: str, pairs: dict[str, list[Pair]], look_inside: bool) -> bool:
    """Prints how complete a data set is. Returns whether nothing is missing.

    Args:
        name: "pascal" or "davis".
        pairs: see `needed_pairs`.
        look_inside: also compare the sizes of image and mask.
    """
    folders = [paths.PASCAL_DATASET]
    if name == "davis":
        folders = [paths.DAVIS_TRAIN_DATASET, paths.FINETUNE_TEST_DATASET]
    print(f"{name}: {', '.join(map(str, folders))}")
    return report_pairs(pairs, look_inside)


def print_next_steps(name: str, archives: Sequence[Archive], folder: Path) -> None:
    """Says which archives are present, and where the missing ones can be downloaded."""
    sources = sources_of(name)
    known = [a for a in archives if a.source and a.source.name in {s.name for s in sources}]
    for archive in known:
        print(f"  {archive.path} is present: {archive.source.name}")
    missing = missing_sources(sources, archives)
    flags = [] if folder == paths.ARCHIVES else flag_words("--archives", folder)
    command = shown_words(["python", "prepare_data.py", name, *flags])
    if missing:
        print(f"  not in {folder} ({command} --download gets it):")
    for source in missing:
        print(f"    {source.name}, {source.num_bytes / 1e9:.1f} GB: {source.url}")
        print(f"      adds {source.adds}")
    print(f"  or {ORIGINAL}'s archives, from the README of {ORIGINAL_ADDRESS}")
    print(f"  then: {command}")


def print_problem(kind: str, text: str) -> None:
    print(f"{kind}: {' '.join(text.split())}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_script(main, Config, __doc__)
