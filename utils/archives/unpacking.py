"""Decides which member of which archive becomes which file of a data set, and writes it."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from utils.archives.archives import read_members
from utils.archives.object_masks import decode_image, source_of_mask
from utils.archives.sources import Archive, Rule, Source
from utils.errors import InputError
from utils.files import write_atomically


@dataclass(frozen=True)
class Item:
    """A file to write, and the member of an archive that it is made from."""

    archive: Archive
    member: str
    target: Path
    rule: Rule


def make_plan(
    sources: Sequence[Source], archives: Sequence[Archive], needed: set[Path]
) -> list[Item]:
    """Lists every file that the archives can give, each from the best archive that has it.

    A mask that an earlier run made from a better source is left out.

    Args:
        sources: the sources of one data set, the best first.
        archives: archives, some of them of these sources.
        needed: the files wanted; archives that are unpacked as they are may give others as well.
    """
    best: dict[Path, Item] = {}
    for rank, source in enumerate(sources):
        found: dict[Path, Item] = {}
        for archive in archives:
            if archive.source is None or archive.source.name != source.name:
                continue
            for rule in reversed(source.rules):  # so that the first rule wins
                for member in archive.members:
                    target = rule.target(member)
                    if target is not None and (source.as_it_is or target in needed):
                        found[target] = Item(archive, member, target, rule)
        better = {source.name for source in sources[:rank]}
        for target, item in found.items():
            made_from = source_of_mask(target) if better and target.suffix == ".png" else None
            if target not in best and made_from not in better:
                best[target] = item
    return list(best.values())


def new_bytes(plan: Sequence[Item]) -> int:
    """Estimates how many bytes the plan will write, at most."""
    return sum(item.archive.members[item.member] for item in plan if not item.target.exists())


def unpack(archive: Archive, plan: Sequence[Item]) -> None:
    """Writes the files of the plan that come from one archive, and says how many.

    Raises:
        InputError: if a member is damaged; the message names it.
    """
    items = defaultdict(list)
    for item in plan:
        if item.archive is archive:
            items[item.member].append(item)
    outcomes = {}
    with tqdm(total=len(items), desc=archive.path.name, unit="file", disable=None) as bar:
        for member, data in read_members(archive.path, items):
            for item in items[member]:
                try:
                    content = item.rule.convert(data)
                except InputError as error:
                    raise InputError(
                        f"{archive.path}, {member}: {error}; download the archive again."
                    ) from error
                outcomes[item.target] = _store(item.target, content)
            bar.update()
    counts = Counter(outcomes.values())
    print(
        f"{archive.path.name}: {counts['written']} files written, {counts['present']} were present"
    )
    kept = [target for target, outcome in outcomes.items() if outcome == "kept"]
    if kept:
        print(
            f"{len(kept)} other files differ from those of {archive.path.name} and stay as they "
            f"are; the first is {kept[0]}. Delete them to have them made again."
        )


def _store(target: Path, content: bytes) -> str:
    """Writes a file, unless it is already "present", or is the user's own and "kept"."""
    if target.exists():
        present = target.read_bytes()
        if present == content:
            return "present"
        if source_of_mask(target) is None and _is_whole(present):
            return "kept"
    write_atomically(target, lambda temporary_path: temporary_path.write_bytes(content))
    return "written"


def _is_whole(data: bytes) -> bool:
    try:
        decode_image(data)
    except InputError:
        return False
    return True
