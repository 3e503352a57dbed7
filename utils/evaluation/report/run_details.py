"""What run.json says about a run, in groups for people to read."""

from collections.abc import Iterator
from typing import Any

_SHOWN_ELSEWHERE = (
    "sequence", "num_frames", "size", "scores", "guidance", "confidence", "animals", "num_animals"
)  # fmt: skip


def group_record(record: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Sorts the content of a run.json into titled groups.

    Args:
        record: the content of a run.json.

    Returns: title -> (name, value) in words; nothing is left out but what the page shows elsewhere.
    """
    rest = {name: value for name, value in record.items() if name not in _SHOWN_ELSEWHERE}
    key = dict(rest.pop("key")) if isinstance(rest.get("key"), dict) else {}
    hashes = key.pop("sha256", {})

    def take(*names: str) -> dict[str, Any]:
        return {name: rest.pop(name) for name in names if name in rest}

    groups = {
        "Time": take("seconds", "started", "ended", "peak_memory_mib", "losses"),
        "Configuration": {**take("labelled_frames"), **dict(sorted(key.items(), key=_is_nested))},
        "Files": {**take("input", "weights", "saved_weights_sha256"), "sha256": hashes},
        "Versions": take("git_commit", "environment"),
        "More": rest,
    }
    return {title: list(_flatten(content)) for title, content in groups.items()}


def _is_nested(item: tuple[str, Any]) -> bool:
    return isinstance(item[1], dict)


def _flatten(content: Any, *names: str) -> Iterator[tuple[str, str]]:
    """Nested settings as pairs of their last two names and their value."""
    title = " ".join(names[-2:]).replace("_", " ")
    if isinstance(content, dict):
        for name, value in sorted(content.items(), key=_is_nested):
            yield from _flatten(value, *names, str(name))
    elif isinstance(content, list):
        yield title, ", ".join(map(str, content)) or "none"
    else:
        yield title, "none" if content is None else str(content)
