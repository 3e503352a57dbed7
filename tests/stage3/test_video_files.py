"""Stage 3 on a folder of videos in one call: phone videos, odd ones and broken ones."""

import errno
import os
import re
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import finetune_test
from tests.stage3_world import HEIGHT, NUM_FRAMES, WIDTH, World, animal, frame, small_stage3_in
from utils import files, paths
from utils.files import hold_lock
from utils.media.video_writing import write_video
from utils.media.videos import VideoFile

UNEVEN = [0, 1, 4, 5, 11, 12]  # times of the frames in 25ths of a second


def write_video_file(
    path: Path,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rotation: int | None = None,
    size: tuple[int, int] = (HEIGHT, WIDTH),
    stamps=range(NUM_FRAMES),
    with_sound: bool = False,
) -> Path:
    """Writes the six frames of the small world; players turn them by `rotation` degrees."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *size, pixels
        if rotation is not None:
            stream.set_display_rotation(rotation)
        sound = container.add_stream("aac", rate=8000, layout="mono") if with_sound else None
        container.start_encoding()  # writes the header of a file without frames, too
        for index, stamp in enumerate(stamps):
            image = frame(index)[: size[0], : size[1]]
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
            picture.pts, picture.time_base = stamp, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        for start in range(0, 2048 if with_sound else 0, 1024):
            block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), "float32"), "fltp", "mono")
            block.sample_rate, block.pts = 8000, start
            container.mux(sound.encode(block))
        if with_sound:
            container.mux(sound.encode())
    return path


def write_song(path: Path) -> None:
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000, layout="mono")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), "float32"), "fltp", "mono")
        block.sample_rate = 8000
        container.mux(sound.encode(block))
        container.mux(sound.encode())


def label(name: str, stem: str = "00002", turns: int = 0, size=(HEIGHT, WIDTH)) -> None:
    path = paths.LABELS / name / f"{stem}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.rot90(animal(2)[: size[0], : size[1]], turns) * np.uint8(255)
    Image.fromarray(mask).save(path)


GOOD = {  # how to write it, quarter turns to see it upright, size as seen
    "phone.mov": (dict(rotation=90, with_sound=True), 1, (WIDTH, HEIGHT)),
    "upside_down.mp4": (dict(rotation=180), 2, (HEIGHT, WIDTH)),
    "other_way.mp4": (dict(rotation=270), 3, (WIDTH, HEIGHT)),
    "plain.mp4": ({}, 0, (HEIGHT, WIDTH)),
    "uneven.mp4": (dict(stamps=UNEVEN), 0, (HEIGHT, WIDTH)),
    "odd.webm": (dict(codec="libvpx-vp9", size=(47, 63)), 0, (47, 63)),
    "old.avi": (dict(codec="mpeg4"), 0, (HEIGHT, WIDTH)),
}
BAD = {  # what the message says of it
    "song": r"song\.mp4: expected a video stream, found only audio",
    "nothing": r"nothing\.mp4: expected a video, found 0 bytes",
    "no_frames": r"no_frames\.mp4: expected a video",
    "cut_off": r"cut_off\.mp4: .*cut off",
    "text": r"text\.avi: expected a video",
    "unplugged": r"unplugged\.mp4: expected a video file, found a link whose target is missing",
    "unlabelled": r"unlabelled: no frame is labelled. Make .*unlabelled.00003\.png",
    "label_beyond": r"00099\.png: which frame does it label",
    "label_twice": r"label one frame \(2\)",
    "label_size": r"the label is 64x48, the video 48x64",
}


@pytest.fixture(scope="module")
def done(tmp_path_factory, weights_file):
    """The world after all these videos, in one folder, were run in one call, with its output."""
    root = tmp_path_factory.mktemp("videos")
    folder = root / "videos"
    with small_stage3_in(root), pytest.MonkeyPatch.context() as patch:
        for name, (options, turns, _) in GOOD.items():
            write_video_file(folder / name, **options)
            label(Path(name).stem, turns=turns, size=options.get("size", (HEIGHT, WIDTH)))
        write_song(folder / "song.mp4")
        (folder / "nothing.mp4").touch()
        write_video_file(folder / "no_frames.mp4", stamps=())
        cut = write_video_file(folder / "cut_off.mp4")
        cut.write_bytes(cut.read_bytes()[:-300])
        (folder / "text.avi").write_text("no video " * 500)
        (folder / "unplugged.mp4").symlink_to(folder / "gone" / "day1.mp4")
        for name in ("unlabelled", "label_beyond", "label_twice", "label_size"):
            write_video_file(folder / f"{name}.mp4")
        label("label_beyond", "00099")
        label("label_twice", "2")
        label("label_twice")
        label("label_size", turns=1)
        lines = []
        patch.setattr("builtins.print", lambda *a, **_: lines.append(" ".join(map(str, a))))
        world = World(root / "world", weights_file)
        world.status = world.run(video=(folder,))
    world.folder, world.output = folder, "\n".join(lines)
    return world


@pytest.mark.parametrize("name", GOOD)
def test_every_frame_of_a_file_has_a_mask_of_its_upright_size(done, name):
    _, turns, size = GOOD[name]
    masks = done.masks(Path(name).stem)
    assert masks.shape == (NUM_FRAMES, *size)
    for index, mask in enumerate(masks):
        truth = np.rot90(animal(index), turns).astype(bool)[: size[0], : size[1]]
        overlap = (mask & truth).sum() / (mask | truth).sum()
        assert overlap > 0.6, (index, overlap)


@pytest.mark.parametrize("name", GOOD)
def test_the_overlay_has_the_videos_times_and_an_even_size(done, name):
    overlay = VideoFile(done.results / "overlay" / f"{Path(name).stem}.mp4")
    overlay.check()
    height, width = GOOD[name][2]
    assert (overlay.height, overlay.width) == (height + height % 2, width + width % 2)
    times = VideoFile(done.folder / name).times_seconds()
    assert overlay.times_seconds() == pytest.approx(times, abs=1e-3)
    if name == "uneven.mp4":
        assert times == pytest.approx([stamp / 25 for stamp in UNEVEN], abs=1e-4)
    assert (overlay.sound is not None) == (name == "phone.mov")


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_by_name_and_leaves_nothing(done, name):
    assert re.search(f"error: {name}: .*{BAD[name]}", done.output), done.output
    for folder in ("segmentation", "runs"):
        assert not (done.results / folder / name).exists()


def test_bad_files_do_not_stop_the_others_and_the_summary_names_them(done):
    assert done.status == 1
    lines = done.output.splitlines()
    # The last table; the first one lists the videos before anything is trained.
    summary = lines[max(i for i, line in enumerate(lines) if line.startswith("video ")) :]
    for name in GOOD:
        line = next(line for line in summary if line.startswith(Path(name).stem))
        assert line.split()[1:4] == [str(NUM_FRAMES), "1", "2"]  # frames, animals, label
    for name in BAD:
        assert any(line.startswith(name) and "failed: " in line for line in summary)
    assert f"{len(GOOD)} of {len(GOOD) + len(BAD)} videos done" in summary


# A full disk, and a second process


@pytest.mark.parametrize("suffix, nth", [(".png", 3), (".safetensors", 0), (".mp4", 0)])
def test_a_full_disk_is_reported_and_the_run_continues_when_there_is_space(
    world, done, monkeypatch, capsys, suffix, nth
):
    # A copy: x264 does not always encode the same frames into the same file.
    world.root.mkdir()
    video = shutil.copy(done.folder / "plain.mp4", world.root / "hen.mp4")
    label("hen")
    real, written = files.os.replace, []

    def full(source, target):
        if str(target).endswith(suffix):
            written.append(target)
            if len(written) > nth:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))
        real(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "replace", full)
        assert world.run(video=(video,)) == 1
    output = capsys.readouterr().out
    assert "error: hen: the disk is full" in output and "run the same command again" in output
    assert not (world.results / "runs" / "hen" / "run.json").exists()
    assert not [path for path in world.results.rglob(".writing-*")]
    assert world.run(video=(video,)) == 0
    np.testing.assert_array_equal(world.masks(), done.masks("plain"))


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if not hasattr(os, "geteuid") or os.geteuid() or subprocess.run(mount).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_leaves_no_half_written_files(small_disk):
    noise = np.random.default_rng(0).integers(0, 256, (200, 128, 128, 3), np.uint8)
    for number in range(2):
        with pytest.raises(OSError) as error:
            write_video(small_disk / "a.mp4", noise, None, 25)
        assert error.value.errno == errno.ENOSPC, number
        assert list(small_disk.iterdir()) == []
    with pytest.raises(OSError):
        for number in range(99):
            files.write_atomically(
                small_disk / f"{number}.png", lambda aside: Image.fromarray(noise[0]).save(aside)
            )
    assert all(Image.open(path).load() for path in small_disk.iterdir())


def test_a_video_that_another_process_works_on_is_refused(world, capsys):
    world.add("ant", frames=2, labelled=(1,)).add("bee", frames=2, labelled=(1,))
    with hold_lock(world.results / "runs" / "ant" / "lock", "ant"):
        assert world.run() == 1
    output = capsys.readouterr().out
    assert f"error: ant: {world.results / 'runs' / 'ant'}: process {os.getpid()} on" in output
    assert not world.mask_paths("ant") and len(world.mask_paths("bee")) == 2
    assert world.run() == 0 and len(world.mask_paths("ant")) == 2


def test_the_lock_is_held_while_a_video_is_worked_on(world, monkeypatch):
    world.add("ant", frames=2, labelled=(1,))
    real, held = finetune_test.segment, []

    def spy(*arguments):
        held.append((world.results / "runs" / "ant" / "lock.holder").read_text())
        return real(*arguments)

    monkeypatch.setattr(finetune_test, "segment", spy)
    world.run()
    assert f"process {os.getpid()} on" in held[0]
    assert not (world.results / "runs" / "ant" / "lock").exists()


def test_a_bug_fails_one_video_and_shows_its_traceback(world, monkeypatch, capsys):
    world.add("ant", frames=2, labelled=(1,)).add("bee", frames=2, labelled=(1,))
    real = finetune_test.segment

    def fail(job, *rest):
        if job.name == "ant":
            raise ZeroDivisionError("a fault of ours")
        return real(job, *rest)

    monkeypatch.setattr(finetune_test, "segment", fail)
    assert world.run() == 1
    captured = capsys.readouterr()
    assert "error: ant: a fault of ours" in captured.out and "Traceback" in captured.err
    assert len(world.mask_paths("bee")) == 2
    with pytest.raises(ZeroDivisionError):
        world.run(sequences=("ant",))
