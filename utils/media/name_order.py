"""The order of files by their names: numbers by value, whether they are counters or decimals."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal

_INTEGER = re.compile(r"([0-9]+)")
_DECIMAL = re.compile(r"([0-9]+(?:\.[0-9]+)?)")
# Not a part of a date or a version such as 2023.11.15.
_ONE_POINT = re.compile(r"(?<![0-9.])([0-9]+)\.([0-9]+)(?![0-9])(?!\.[0-9])")
_NO_POINT = re.compile(r"(?<![0-9.])[0-9]+(?![0-9.])")
_SIGNED = re.compile(r"^(.*?)(-?)[0-9]+$")  # the text before the last number, and its sign
_REGULAR = 2  # the spread of steps between frames of which single ones were dropped
_CLEARLY = 3  # times as regular: then the steps tell more than a number that stays the same
_COUNTER_DIGITS = 4  # where nothing else tells, a longer number after a point is a fraction


def spelled_as(name: str, known: Sequence[str]) -> str:
    """The known name that is this one but for how its accents are composed, as Macs store them;
    else the name itself."""
    composed = {unicodedata.normalize("NFC", other): other for other in known}
    return name if name in known else composed.get(unicodedata.normalize("NFC", name), name)


def natural_key(name: str, *, decimal: bool = False, negative: bool = False) -> tuple:
    """The key of the natural order: `frame2` before `frame10`, whatever the letter case.

    Args:
        name: of a sequence, or the stem of a file. With the suffix, `x.jpg` and `x.k.jpg` would
            be in another order than their masks `x.png` and `x.k.png`.
        decimal: whether a number with a point is one number: `0.466` before `0.6`.
        negative: whether a hyphen before the number at the end is a minus: `-2` before `-1`.

    Returns: a key that two different names never share.
    """
    pattern = _DECIMAL if decimal else _INTEGER
    parts = pattern.split(unicodedata.normalize("NFC", name).casefold())
    # Odd positions are the numbers, so that numbers only ever meet numbers.
    key = [Decimal(part) if i % 2 else part for i, part in enumerate(parts)]
    if negative and len(key) > 1 and not key[-1] and key[-3].endswith("-"):
        key[-3:-1] = [key[-3][:-1], -key[-2]]
    return key, name


def find_order(names: Sequence[str]) -> dict[str, bool]:
    """How the numbers of these names are read, as arguments of `natural_key`."""
    return {"decimal": has_decimals(names), "negative": has_negatives(names)}


def has_negatives(names: Iterable[str]) -> bool:
    """Whether the hyphen before the last number is a minus, as where a camera counts from its
    trigger: `frame_-2`, `frame_-1`, `frame_0`.

    It is if the same text also comes before a number without a hyphen, and zero is among these:
    `IMG-1` and `IMG-2` are no negative numbers, nor is `day1-2` beside `day1` one.
    """
    signs: dict[str, set[str]] = {}
    zeros = set()
    for name in names:
        match = _SIGNED.match(name)
        if match:
            before, sign = match[1].casefold(), match[2]
            signs.setdefault(before, set()).add(sign)
            if not sign and not int(name[match.end(2) :]):
                zeros.add(before)
    return any(signs[before] == {"", "-"} for before in zeros)


def has_decimals(names: Iterable[str]) -> bool:
    """Whether the numbers with a point in these names are decimals, such as times in seconds.

    `1.9` and `1.10` may be the ninth and tenth frame of part 1, or 1.9 and 1.1 seconds. It only
    matters where the numbers after the point have different lengths, or where some of the numbers
    have no point; then, unless zeros tell, that reading holds by which the steps from name to name
    are more regular.
    """
    groups: dict[tuple[str, str], set[tuple[str, str]]] = {}
    whole: list[tuple[tuple[str, str], tuple[str, str]]] = []
    for name in names:
        found = list(_ONE_POINT.finditer(name))
        if len(found) == 1:
            groups.setdefault(_around(name, found[0]), set()).add(found[0].groups())
        whole += [(_around(name, match), (match[0], "")) for match in _NO_POINT.finditer(name)]
    for around, number in whole:
        if around in groups:
            groups[around].add(number)
    return any(map(_are_decimals, groups.values()))


def _around(name: str, number: re.Match) -> tuple[str, str]:
    return name[: number.start()].casefold(), name[number.end() :].casefold()


def _are_decimals(numbers: Collection[tuple[str, str]]) -> bool:
    """Whether (before, after) are digits around a decimal point; `after` is empty without one."""
    lengths = {len(after) for _, after in numbers}
    if len(lengths) < 2:
        return False
    decimals = [Decimal(f"{before}.{after}") for before, after in numbers]
    if len(set(decimals)) < len(decimals):
        return False  # two frames, such as 1.1 and 1.10, are not shown at one time
    padded = max((len(after) for _, after in numbers if after.startswith("0")), default=0)
    if padded > max(1, min(lengths - {0})):
        return True  # zeros before a counter make all as long: 1.04 would be beside 1.02, not 1.2
    counters: dict[int, list[Decimal]] = {}
    for before, after in numbers:
        if after:
            counters.setdefault(int(before), []).append(Decimal(after))
    counter_spread = _spread([step for values in counters.values() for step in _steps(values)])
    decimal_spread = _spread(_steps(decimals))
    if 0 in lengths and decimal_spread <= _REGULAR:
        return True  # 1 beside 0.75 is a time that lost its .0
    is_short = max(lengths) <= _COUNTER_DIGITS
    one_part = is_short and len(counters) == 1 and 0 not in counters and decimal_spread > _REGULAR
    if one_part and counter_spread <= _CLEARLY * decimal_spread:
        return False  # the number before the point, that of a camera or a part, stays the same
    if counter_spread == decimal_spread:
        return not is_short
    return decimal_spread < counter_spread


def _steps(values: Collection[Decimal]) -> list[Decimal]:
    ordered = sorted(values)
    return [after - before for before, after in zip(ordered, ordered[1:], strict=False)]


def _spread(steps: Sequence[Decimal]) -> Decimal:
    """How irregular steps are: the largest one in units of the smallest."""
    return max(steps) / min(steps) if steps else Decimal(1)
