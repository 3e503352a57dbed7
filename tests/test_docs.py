"""The documentation: links lead somewhere, lines are short, and the flags it names exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from utils import paths
from utils.export.tables import TABLE_HEADER

FOLDERS = (".", "docs", "utils", "datasets", "datasets/sample", "weights", "results", "benchmarks")
PAGES = sorted(path for folder in FOLDERS for path in (paths.ROOT / folder).glob("*.md"))
MAX_COLUMNS = 120
MAX_README_LINES = 120
OF_OTHER_PROGRAMS = ("pip ", "ffmpeg ", "git ", "sbatch ", "train=$(sbatch ")


def name_of(path: Path) -> str:
    return str(path.relative_to(paths.ROOT))


def read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def links_in(path: Path) -> list[str]:
    """Targets of `[text](target)` and of pictures, without those in code."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", text)


def anchors_of(path: Path) -> set[str]:
    """The anchors that GitHub makes from the headings of a page."""
    headings = [line.lstrip("#").strip() for line in read_lines(path) if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def flags_of(source: Path) -> set[str]:
    """The flags of a script: fields of its `Config`, and of the classes that this inherits from.

    Read from the source, so that no script and no Keras is imported.
    """
    classes = classes_in(source)
    wanted, found = ["Config"], set()
    while wanted:
        name = wanted.pop()
        definition = classes.get(name) or shared_classes().get(name)
        if definition is None:
            continue
        found |= {
            "--" + node.target.id.replace("_", "-")
            for node in definition.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
        wanted += [base.id for base in definition.bases if isinstance(base, ast.Name)]
    return found | {"--help"}


def classes_in(source: Path) -> dict[str, ast.ClassDef]:
    tree = ast.parse(source.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


@cache
def shared_classes() -> dict[str, ast.ClassDef]:
    sources = (paths.ROOT / "utils" / "training").glob("*.py")
    return {name: node for source in sources for name, node in classes_in(source).items()}


def scripts() -> list[Path]:
    """The scripts of the root, the benchmarks, and the script of the documentation."""
    folders = (paths.ROOT, paths.ROOT / "benchmarks", paths.ROOT / "docs")
    found = [path for folder in folders for path in folder.glob("*.py")]
    return sorted(path for path in found if "Config" in classes_in(path))


def commands_in(path: Path) -> list[tuple[str, list[str]]]:
    """Script and flags of each `python SCRIPT.py ...` or `python -m PACKAGE.SCRIPT ...`."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    found = []
    for rest in re.findall(r"python3? ((?:-m )?[\w./]+(?:[^\n`;#]*))", text):
        words = rest.split()
        script = words[1].replace(".", "/") + ".py" if words[0] == "-m" else words[0]
        found.append((script, re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest)))
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_within_the_repository_lead_to_a_file_and_a_heading(page):
    for link in links_in(page):
        if re.match(r"\w+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{link} does not exist"
        if anchor:
            assert anchor in anchors_of(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_lines_of_text_have_at_most_120_columns(page):
    too_long = [
        line
        for line in read_lines(page)
        if len(line) > MAX_COLUMNS and not line.startswith("|") and not re.search(r"https?:", line)
    ]
    assert not too_long


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_flag_in_a_command_is_one_of_that_script(page):
    for script, flags in commands_in(page):
        source = paths.ROOT / script
        if source in scripts():
            assert set(flags) <= flags_of(source), f"python {script}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_flag_that_a_page_mentions_exists(page):
    known = set().union(*map(flags_of, scripts()))
    lines = [line for line in read_lines(page) if not line.lstrip().startswith(OF_OTHER_PROGRAMS)]
    text = re.sub(r"`(pip|sbatch) [^`]*`", "", "\n".join(lines))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) <= known


def test_scripts_that_a_command_starts_exist():
    for page in PAGES:
        for script, _ in commands_in(page):
            if script.endswith(".py") and not script.startswith(("pytest", "venv")):
                assert (paths.ROOT / script).is_file(), f"{name_of(page)}: python {script}"


def test_readme_has_at_most_120_lines():
    assert len(read_lines(paths.ROOT / "README.md")) <= MAX_README_LINES


def test_no_source_cites_a_design_document_that_is_not_in_the_repository():
    folders = [paths.ROOT / folder for folder in ("utils", "models", "benchmarks")]
    sources = [path for folder in folders for path in folder.rglob("*.py")]
    assert not [name_of(path) for path in sources if "DESIGN.md" in path.read_text("utf-8")]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_source_file_that_a_page_names_exists(page):
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:utils|models|tests|benchmarks|docs)/[\w./]*)`", text))
    assert {path for path in named if not (paths.ROOT / path).exists()} == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_video_is_called_a_video(page):
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"\bfilm\w*|\bclips?\b|my_film", text, flags=re.IGNORECASE)


def test_columns_of_the_table_are_explained_in_its_order():
    text = (paths.ROOT / "docs" / "your_video.md").read_text(encoding="utf-8")
    section = text.split("### Columns of the table")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert tuple(name for row in rows for name in re.findall(r"`(\w+)`", row)) == TABLE_HEADER


def test_table_of_packages_begins_with_the_lowest():
    ladder = ast.parse((paths.ROOT / "tests" / "test_layout.py").read_text(encoding="utf-8"))
    order = next(
        list(ast.literal_eval(node.value))
        for node in ladder.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "LADDER"
    )
    order = [order[0], "archives", *order[1:], "annotator"]
    map_of_packages = (paths.ROOT / "utils" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)/` \|", map_of_packages, flags=re.MULTILINE) == order
