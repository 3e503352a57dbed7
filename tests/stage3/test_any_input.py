"""Whatever is fed in: masks for all frames at their size, or one line that names the file.

Hypothesis generates folders, videos and labels as nobody would write down. Every script has to end
with exit status 0, 1 or 2, without a traceback and with nothing half-written.
"""

import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from PIL import Image

from tests.all_scripts import Outcome, Scripts
from tests.stage3_world import small_stage3_in
from tests.unusual_videos import damage_packets, write_unusual_video

SETTINGS = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,  # the same examples in every run
    database=None,
    phases=[Phase.explicit, Phase.generate],  # to shrink an example takes a run per step
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

sizes = st.tuples(
    st.sampled_from([1, 2, 5, 13, 24, 33, 48]), st.sampled_from([1, 3, 8, 31, 40, 64, 150])
)
modes = st.sampled_from(["RGB", "L", "P", "RGBA", "1", "I;16"])
stems = st.lists(
    st.one_of(
        st.integers(0, 120).map(str),
        st.integers(0, 30).map("img_{:04d}".format),
        st.decimals(0, 3, places=3).map("t{}".format),
        st.text("aé (1)._-", min_size=1, max_size=6).map("x{}".format),
    ),
    min_size=1,
    max_size=5,
    unique_by=str.casefold,
)
label_kinds = st.sampled_from(
    ["white", "one", "inverted", "stray", "smooth", "two", "empty", "full", "photo", "void"]
)


def picture(index: int, size: tuple[int, int]) -> np.ndarray:
    image = np.random.default_rng(index).integers(40, 100, (*size, 3), np.uint8)
    return np.where(shape(index, size)[..., None], np.uint8(220), image)


def shape(index: int, size: tuple[int, int]) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    return (2 * y < size[0] + index) & (2 * x < size[1])


def make_label(kind: str, size: tuple[int, int]) -> np.ndarray:
    animal = shape(1, size)
    values = {
        "white": animal * 255,
        "one": animal * 1,
        "inverted": 255 - animal * 255,
        "empty": animal * 0,
        "full": animal * 0 + 255,
        "void": animal * 128,
    }
    if kind in values:
        return values[kind].astype(np.uint8)
    if kind == "photo":
        return picture(1, size)[..., 0]
    label = (animal * 255).astype(np.uint8)
    if kind == "stray":
        label.flat[-1] = 254
    if kind == "smooth":
        label[:, : size[1] // 2 + 1] = np.linspace(0, 255, size[1] // 2 + 1)
    if kind == "two":
        label = (animal + (animal & shape(0, (size[0] // 2 or 1, size[1]))[:1])).astype(np.uint8)
    return label


def write_image(path: Path, image: np.ndarray, mode: str) -> None:
    if mode == "I;16":
        picture_16 = Image.fromarray(image[..., 0].astype(np.uint16) * 16)
        picture_16.save(path.with_suffix(".png"))
        return
    converted = Image.fromarray(image).convert(mode)
    if path.suffix != ".png" and mode not in ("RGB", "L"):
        path = path.with_suffix(".png")
    converted.save(path)


@pytest.fixture(scope="module")
def scripts(tmp_path_factory, weights_file):
    root = tmp_path_factory.mktemp("any")
    with small_stage3_in(root):
        yield Scripts(root / "world", weights_file)


def check(scripts: Scripts, video: Path, label: Path) -> None:
    """The property, for all scripts."""
    scripts.clear()
    shutil.rmtree(scripts.root / "datasets", ignore_errors=True)
    dry = scripts.segment(video, label, dry_run=True)
    scripts.check_nothing_written()
    done = scripts.segment(video, label)
    note(f"{dry}\n{done}")
    assert dry.status == done.status  # --dry-run checks everything
    used: dict[str, Outcome] = {}
    if done.status == 0:
        scripts.check_masks(video)
        used = scripts.use()
        note(str(used))
        assert {one.status for one in used.values()} == {0}
    else:
        scripts.check_nothing_written()
        assert_names_a_file(done, video, label)
    for other in (scripts.choose(video), scripts.label_page(video)):
        note(str(other))
        if other.status:
            assert_names_a_file(other, video, label)
        assert done.status or not other.status  # what stage 3 takes, the others take
    scripts.check_nothing_half_written()


def assert_names_a_file(done: Outcome, video: Path, label: Path) -> None:
    (line,) = [line for line in done.output.splitlines() if line.startswith("error: ")][:1]
    assert done.status in (1, 2)
    names = (" ".join(name.split()) for name in (video.name, video.stem, label.name))
    assert any(name in line for name in names), line


@SETTINGS
@given(data=st.data())
def test_any_folder_of_frames(scripts, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("in") / "hen"
    folder.mkdir()
    size, names = data.draw(sizes), data.draw(stems)
    suffix, mode = data.draw(st.sampled_from([".png", ".jpg", ".webp"])), data.draw(modes)
    for index, stem in enumerate(names):
        write_image(folder / f"{stem}{suffix}", picture(index, size), mode)
    match data.draw(st.sampled_from(["", "", "", "empty", "cut", "size", "other", "film", "link"])):
        case "empty":
            (folder / f"z{suffix}").touch()
        case "cut":
            whole = next(folder.iterdir())
            whole.write_bytes(whole.read_bytes()[:-9])
        case "size":
            write_image(folder / f"z{suffix}", picture(9, (size[0] + 1, size[1])), "RGB")
        case "other":
            (folder / "z.tif").touch()
        case "film":
            (folder / "z.mov").touch()
        case "link":
            (folder / f"z{suffix}").symlink_to(folder / "gone")
    label = folder.parent / f"{data.draw(st.sampled_from(names))}.png"
    Image.fromarray(make_label(data.draw(label_kinds), size)).save(label)
    check(scripts, folder, label)


@SETTINGS
@given(data=st.data())
def test_any_video_file(scripts, tmp_path_factory, data):
    size = data.draw(st.sampled_from([(24, 32), (48, 64), (26, 150), (64, 18)]))
    count = data.draw(st.integers(1, 12))
    suffix, codec = data.draw(
        st.sampled_from(
            [
                ("mp4", "libx264"),
                ("mkv", "libx264"),
                ("avi", "libx264"),
                ("mp4", "mpeg4"),
                ("ts", "mpeg2video"),
                ("webm", "libvpx"),
                ("mkv", "ffv1"),
            ]
        )
    )
    steps = st.lists(st.sampled_from([1, 1, 2, 900]), min_size=count, max_size=count)
    stamps = np.cumsum(data.draw(steps)) + data.draw(st.sampled_from([0, 0, 5000]))
    path = tmp_path_factory.mktemp("in") / f"my film.{suffix}"
    write_unusual_video(
        path,
        [picture(index, size) for index in range(count)],
        stamps.tolist() if codec == "libx264" and suffix != "avi" else None,
        Fraction(1, data.draw(st.sampled_from([25, 25, 10]))),
        codec,
        g=str(data.draw(st.sampled_from([1, 4, 99]))),
        aspect=data.draw(st.sampled_from(["1", "16/9"])),
    )
    match data.draw(st.sampled_from(["", "", "", "packet", "cut", "zeros", "empty", "text"])):
        case "packet" if suffix in ("mp4", "mkv", "webm"):
            damage_packets(
                path, [data.draw(st.integers(0, count - 1))], data.draw(st.integers(0, 255))
            )
        case "cut":
            path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])
        case "zeros":
            path.write_bytes(bytes(path.stat().st_size))
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("no video " * 99)
    label = path.parent / f"{data.draw(st.integers(0, count)):05d}.png"
    Image.fromarray(make_label(data.draw(label_kinds), size)).save(label)
    check(scripts, path, label)
