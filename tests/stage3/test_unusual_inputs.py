"""What people feed in, through every script: masks for every frame, or one line that says why not.

Each test makes an input as it was described in public reports.
"""

import csv
import os
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from tests.all_scripts import Scripts
from tests.stage3_world import animal, frame
from tests.unusual_videos import write_unusual_video
from utils.media import overlay
from utils.media.videos import FrameFolder, VideoFile

PICTURES = [frame(index) for index in range(6)]


@pytest.fixture
def scripts(tmp_path, weights_file, small_stage3):
    return Scripts(tmp_path / "world", weights_file)


def label_of(path: Path, mask: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = animal(2) if mask is None else mask
    Image.fromarray(mask * np.uint8(255)).save(path)
    return path


def segment_and_use(scripts: Scripts, video: Path, label: Path) -> dict[str, str]:
    """Runs everything; returns what each script printed."""
    done = {"finetune": scripts.segment(video, label)}
    assert done["finetune"].status == 0, done["finetune"].output
    scripts.check_masks(video)
    done |= scripts.use()
    done["choose"], done["page"] = scripts.choose(video), scripts.label_page(video)
    assert {name: one.output for name, one in done.items() if one.status} == {}
    return {name: one.output for name, one in done.items()}


def overlay_times(scripts: Scripts, name: str) -> list[float]:
    with VideoFile(scripts.results / "overlay" / f"{name}.mp4") as video:
        return video.times_seconds()


TIMES = {  # time stamps, units per second, suffix
    "close": ([0, 8000, 16000, 16001, 24000, 32000], 240_000, "mp4"),
    "high_speed": (range(6), 200_000, "mp4"),
    "motion_camera": ([0, 1, 2, 30_000, 30_001, 30_002], 1, "mkv"),
    "wall_clock": ([0, *range(1_700_000_000_000, 1_700_000_000_500, 100)], 1000, "mkv"),
}


@pytest.mark.parametrize("name", TIMES)
def test_times_that_an_mp4_cannot_hold_cost_nothing(scripts, tmp_path, name):
    stamps, units, suffix = TIMES[name]
    path = tmp_path / f"{name}.{suffix}"
    write_unusual_video(path, PICTURES, stamps, Fraction(1, units))
    said = segment_and_use(scripts, path, label_of(tmp_path / "00002.png"))
    assert "the times of its frames do not fit into an MP4" in said["finetune"]
    times = overlay_times(scripts, name)
    assert len(times) == 6 and np.ptp(np.diff(times)) < 1e-3
    with open(scripts.results / "export" / "csv" / f"{name}.csv") as file:
        exact = [float(row["time_seconds"]) for row in csv.DictReader(file)]
    assert exact == pytest.approx([(s - stamps[0]) / units for s in stamps], abs=1e-6)


def test_a_segment_that_keeps_the_clock_of_the_whole_is_taken(scripts, tmp_path):
    # Its duration counts from 0, its time stamps begin at 100 s.
    stamps = [2500 + number for number in range(6)]
    path = write_unusual_video(tmp_path / "part.mkv", PICTURES, stamps)
    segment_and_use(scripts, path, label_of(tmp_path / "00002.png"))
    assert overlay_times(scripts, "part")[1] == pytest.approx(1 / 25, abs=1e-3)


def test_a_raw_stream_says_that_its_times_are_estimated(scripts, tmp_path):
    source = write_unusual_video(tmp_path / "source.mp4", PICTURES, time_base=Fraction(1, 10))
    path = copy_raw(source, tmp_path / "raw.h264")
    said = segment_and_use(scripts, path, label_of(tmp_path / "00002.png"))
    assert (
        "raw.h264: the file has no times of its frames; they are estimated at" in said["finetune"]
    )
    assert "time_seconds is estimated at" in said["csv"]


def copy_raw(source: Path, target: Path) -> Path:
    """H.264 as a byte stream, without a container."""
    with av.open(str(source)) as old, av.open(str(target), "w", format="h264") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        annex_b = av.BitStreamFilterContext("h264_mp4toannexb", old.streams.video[0])
        for packet in old.demux(video=0):
            for filtered in annex_b.filter(packet) if packet.size else ():
                filtered.stream = stream
                new.mux(filtered)
    return target


@pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode elsewhere")
def test_a_name_that_is_not_utf8_works_everywhere(scripts, tmp_path):
    name = os.fsdecode(b"fran\xe7ais")
    path = write_unusual_video(tmp_path / name / f"{name}.mp4", PICTURES)
    segment_and_use(scripts, path, label_of(tmp_path / name / "00002.png"))
    said = scripts.segment(path, tmp_path / name / "00002.png").output
    assert "finished before, skipped" in said
    scripts.clear()
    folder = tmp_path / "frames" / name
    folder.mkdir(parents=True)
    for index, picture in enumerate(PICTURES):
        Image.fromarray(picture).save(folder / f"{name}_{index}.png")
    segment_and_use(scripts, folder, label_of(tmp_path / "2.png"))


@pytest.mark.parametrize("aspect", ["16/9", "8/9"])
def test_pixels_that_are_not_square_are_shown_as_players_show_them(scripts, tmp_path, aspect):
    path = write_unusual_video(tmp_path / "wide.mp4", PICTURES, aspect=aspect)
    said = segment_and_use(scripts, path, label_of(tmp_path / "00002.png"))
    expected = 64 / 48 * Fraction(aspect)
    with VideoFile(scripts.results / "overlay" / "wide.mp4") as shown:
        assert shown.width / shown.height == pytest.approx(float(expected), rel=0.05)
        assert shown.pixel_aspect == 1
    with VideoFile(scripts.results / "export" / "cutout" / "wide.webm") as cut:
        assert cut.width / cut.height == pytest.approx(float(expected), rel=0.05)
    with Image.open(scripts.results / "export" / "cutout" / "wide" / "00000.png") as exact:
        assert exact.size == (64, 48)
    assert "in stored pixels" in said["csv"]
    with open(scripts.results / "export" / "csv" / "wide.csv") as file:
        assert float(next(csv.DictReader(file))["pixel_aspect"]) == pytest.approx(
            float(Fraction(aspect)), rel=0.01
        )


def test_a_turned_video_has_turned_pixels(tmp_path):
    path = write_unusual_video(tmp_path / "a.mp4", PICTURES, aspect="2")
    turned = tmp_path / "turned.mp4"
    with av.open(str(path)) as old, av.open(str(turned), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        stream.set_display_rotation(90)
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    assert VideoFile(path).pixel_aspect == 2
    assert VideoFile(turned).pixel_aspect == 0.5


SHAPES = [(1, 1), (1, 40), (40, 1), (2, 3), (9, 100), (14, 1500), (28, 320), (320, 28), (700, 12)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_frames_of_any_shape_are_segmented_or_refused(scripts, tmp_path, shape):
    height, width = shape
    folder = tmp_path / "flat"
    folder.mkdir()
    mask = np.zeros(shape, np.uint8)
    mask[: max(1, height // 2), : max(1, width // 2)] = 1
    rng = np.random.default_rng(0)
    for index in range(4):
        image = rng.integers(40, 90, (*shape, 3), np.uint8)
        image[mask > 0] += 120
        Image.fromarray(image).save(folder / f"{index:05d}.png")
    label = label_of(tmp_path / "00001.png", mask)
    if mask.all():  # of one pixel, nothing can be background
        done = scripts.segment(folder, label)
        assert done.status == 1 and "00001.png: the label has no background" in done.output
        scripts.check_nothing_written()
        return
    segment_and_use(scripts, folder, label)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_frames_of_more_than_8_bits_are_as_bright_as_others(tmp_path, bits):
    for kind in ("grey", "colour"):
        folder = tmp_path / kind
        folder.mkdir()
        for index, picture in enumerate(PICTURES):
            values = picture if kind == "colour" else picture[..., 0]
            scaled = (values.astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint16)
            scaled.flat[0] = 2**bits - 1
            cv2.imwrite(
                str(folder / f"{index}.png"), scaled[..., ::-1] if kind == "colour" else scaled
            )
        shown = FrameFolder(folder).read(3).astype(int)
        expected = PICTURES[3] if kind == "colour" else np.repeat(PICTURES[3][..., :1], 3, 2)
        assert np.abs(shown[1:] - expected[1:]).max() <= 1


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("pixels", ["gray16le", "rgb48le"])
def test_a_video_of_16_bits_is_as_bright_as_others(tmp_path, bits, pixels):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, pixels
        for picture in PICTURES:
            values = picture if pixels == "rgb48le" else picture[..., 0]
            scaled = (values.astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint16)
            scaled[0] = 2**bits - 1
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scaled, pixels)))
        container.mux(stream.encode())
    with VideoFile(path) as video:
        assert video.check() == []
        shown = video.read(3).astype(int)
    expected = PICTURES[3] if pixels == "rgb48le" else np.repeat(PICTURES[3][..., :1], 3, 2)
    assert np.abs(shown[1:] - expected[1:]).max() <= 2


def test_an_overlay_that_cannot_be_written_costs_nothing_else(scripts, tmp_path, monkeypatch):
    def fail(*_):
        raise ValueError("no such codec")

    monkeypatch.setattr(overlay, "write_video", fail)
    path = write_unusual_video(tmp_path / "a.mp4", PICTURES)
    done = scripts.segment(path, label_of(tmp_path / "00002.png"))
    assert done.status == 0
    assert "a.mp4: it could not be written (ValueError: no such codec)" in done.output
    scripts.check_masks(path)
    assert (scripts.results / "overlay" / "a.png").is_file()
    assert all(one.status == 0 for one in scripts.use().values())


def test_dry_run_says_which_frame_is_labelled_and_how_much_of_it(scripts, tmp_path):
    folder = tmp_path / "hen"
    folder.mkdir()
    for index, picture in enumerate(PICTURES, start=1):
        Image.fromarray(picture).save(folder / f"img_{index:04d}.png")
    done = scripts.segment(folder, label_of(tmp_path / "0003.png"), dry_run=True)
    assert "0003.png: frame 2 (img_0003.png), animal 1 13% of the frame" in done.output
    assert "6 frames of 48x64 checked in" in done.output and "frames/s" in done.output
    inverted = label_of(tmp_path / "other" / "0003.png", 1 - animal(2))
    done = scripts.segment(folder, inverted, dry_run=True)
    assert done.status == 0
    assert "animal 1 covers 87% of the frame and all of its borders" in done.output
    scripts.check_nothing_written()


def test_a_stray_pixel_in_a_further_number_is_refused(scripts, tmp_path):
    path = write_unusual_video(
        tmp_path / "a.mp4", [np.kron(p, np.ones((2, 2, 1), "uint8")) for p in PICTURES]
    )
    mask = np.kron(animal(2), np.ones((2, 2), np.uint8))
    mask[3, 3] = 4
    label = tmp_path / "00002.png"
    Image.fromarray(mask).save(label)
    done = scripts.segment(path, label, dry_run=True)
    assert done.status == 1
    assert "found animals 1 (1600 px), 4 (1 px), which can be understood in two ways" in done.output
