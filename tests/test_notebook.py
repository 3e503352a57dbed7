"""The notebook for Colab, run from top to bottom on the CPU with a tiny network."""

import zipfile

import pytest
from PIL import Image

from utils import paths

NOTEBOOK = paths.ROOT / "docs" / "colab.ipynb"
PATIENCE_SECONDS = 600  # for what hangs; a busy machine is slow


def test_the_notebook_segments_the_sample_from_top_to_bottom(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in codes)
    place = next(
        place
        for place, cell in enumerate(notebook.cells)
        if "parameters" in cell.metadata.get("tags", ())
    )
    script = paths.ROOT / "tests" / "small_stage3.py"
    own = {"RESULTS": f"{tmp_path / 'results'}", "INSTALL": False, "SCRIPT": str(script)}
    own["PRESET"] = "fast"
    lines = "\n".join(f"{name} = {value!r}" for name, value in own.items())
    notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(lines))
    nbclient.NotebookClient(
        notebook,
        timeout=PATIENCE_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(paths.ROOT)}},
    ).execute()
    frames = sorted((paths.SAMPLE_DATASET / "JPEGImages" / "480p" / "cockatoo").iterdir())
    with zipfile.ZipFile(tmp_path / "results" / "cockatoo.zip") as zipped:
        names = set(zipped.namelist())
        masks = {f"segmentation/cockatoo/{frame.stem}.png" for frame in frames}
        assert masks < names
        others = {"overlay/cockatoo.mp4", "overlay/cockatoo.png", "export/csv/cockatoo.csv"}
        assert names - masks == others | {"runs/cockatoo/run.json"}
        with zipped.open(min(masks)) as file:
            assert Image.open(file).size == Image.open(frames[0]).size
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("image/png" in output.get("data", {}) for output in shown)
