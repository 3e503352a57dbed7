"""Imports point one way, so that each package can be read without those above it."""

import ast
from pathlib import Path

import pytest

from utils import paths

# From bottom to top: a package imports only what stands before it.
LADDER = ("media", "inputs", "training", "stage3", "evaluation", "export", "frame_choice")
MAY_IMPORT = {package: set(LADDER[:place]) for place, package in enumerate(LADDER)}
MAY_IMPORT["annotator"] = set(LADDER)
MAY_IMPORT["archives"] = {"media"}
MAY_IMPORT["export"] -= {"training"}
MAY_IMPORT["frame_choice"] -= {"export"}
MAY_IMPORT["top level"] = set()
MAY_IMPORT_MODELS = {"training", "stage3", "frame_choice", "annotator"}
TOP_LEVEL = {
    "ahead", "backend", "command_line", "console", "environment", "errors", "files", "paths",
}  # fmt: skip
SCRIPTS = {path.stem for path in paths.ROOT.glob("*.py")}


def modules(folder: str) -> list[Path]:
    return sorted((paths.ROOT / folder).rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    """Dotted names of the modules that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def package_of(path: Path) -> str:
    parts = path.relative_to(paths.ROOT / "utils").parts
    return parts[0] if len(parts) > 1 else "top level"


def name_of(path: Path) -> str:
    return str(path.relative_to(paths.ROOT))


@pytest.mark.parametrize("path", modules("utils"), ids=name_of)
def test_a_package_imports_only_those_below_it(path):
    package = package_of(path)
    allowed = MAY_IMPORT[package] | {package} | TOP_LEVEL
    used = {name.split(".")[1] for name in imports_of(path) if name.startswith("utils.")}
    assert used <= allowed
    foreign = {name.split(".")[0] for name in imports_of(path)}
    assert not foreign & (SCRIPTS | {"benchmarks", "tests"})
    if package not in MAY_IMPORT_MODELS:
        assert "models" not in foreign


@pytest.mark.parametrize("path", modules("models"), ids=name_of)
def test_models_import_keras_and_each_other_alone(path):
    assert {name.split(".")[0] for name in imports_of(path)} <= {
        "keras", "models", "re", "math", "typing", "dataclasses", "collections",
    }  # fmt: skip


def test_every_package_has_its_place_on_the_ladder():
    folders = {path.name for path in (paths.ROOT / "utils").iterdir() if path.is_dir()}
    assert folders - {"__pycache__"} == set(MAY_IMPORT) - {"top level"}
    assert {path.stem for path in (paths.ROOT / "utils").glob("*.py")} - {"__init__"} == TOP_LEVEL
