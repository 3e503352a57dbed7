"""Frames on disk: their order, odd files, resizing; and writing files whole or not at all."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils import files
from utils.errors import InputError
from utils.media import images
from utils.media.name_order import natural_key
from utils.media.videos import FrameFolder


def save(path: Path, array: np.ndarray) -> Path:
    Image.fromarray(array).save(path)
    return path


def noise(height: int = 40, width: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


# Frames


def test_frames_are_listed_in_natural_order(tmp_path):
    names = ["Frame2.JPG", "frame10.jpeg", "frame1.png", "frame03.jpg"]
    for name in [*names, ".frame0.jpg", "notes.txt"]:
        (tmp_path / name).touch()
    (tmp_path / "frame5.jpg").mkdir()
    found = [path.name for path in images.list_frames(tmp_path)]
    assert found == ["frame1.png", "Frame2.JPG", "frame03.jpg", "frame10.jpeg"]


def test_frames_are_in_the_order_of_their_masks(tmp_path):
    stems = ["x", "x2", "x10", "x (1)", "x (2)", "x.k", "x.z"]
    for folder, suffix in (("frames", ".jpg"), ("masks", ".png")):
        (tmp_path / folder).mkdir()
        for stem in stems:
            (tmp_path / folder / f"{stem}{suffix}").touch()
    frames = [path.stem for path in images.list_frames(tmp_path / "frames")]
    masks = [path.stem for path in images.list_files(tmp_path / "masks", (".png",))]
    assert frames == masks == stems


def test_a_suffix_does_not_change_the_order_of_frames(tmp_path):
    for name in ("x.png", "x.k.jpg", "x.webp.JPG", "x.a.webp"):
        (tmp_path / name).touch()
    found = [path.name for path in images.list_frames(tmp_path)]
    assert found == ["x.png", "x.a.webp", "x.k.jpg", "x.webp.JPG"]


def test_webp_frames_are_listed_and_read(tmp_path):
    Image.fromarray(noise()).save(tmp_path / "frame 1.WebP", lossless=True)
    (path,) = images.list_frames(tmp_path)
    np.testing.assert_array_equal(images.read_image(path), noise())


def test_natural_order_has_no_ties_and_mixes_digits_with_letters():
    names = ["a1", "a01", "A1", "1", "a", "²", "10", "b2c3", "b2c10", "٣"]
    assert sorted(names, key=natural_key) == sorted(names[::-1], key=natural_key)
    assert len({str(natural_key(name)) for name in names}) == len(names)


def test_frames_of_a_linked_folder_with_spaces_and_accents_are_listed(tmp_path):
    folder = tmp_path / "mein Hündchen 犬"
    folder.mkdir()
    save(folder / "bild é 1.png", noise())
    link = tmp_path / "link"
    link.symlink_to(folder, target_is_directory=True)
    (path,) = images.list_frames(link)
    np.testing.assert_array_equal(images.read_image(path), noise())


def test_a_folder_that_is_missing_or_empty_or_ambiguous_is_refused(tmp_path):
    with pytest.raises(InputError, match="found none"):
        images.list_frames(tmp_path)
    with pytest.raises(InputError, match="found nothing"):
        images.list_frames(tmp_path / "no")
    for name in ("a.jpg", "a.png"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"a\.jpg and a\.png would both write the mask a\.png"):
        images.list_frames(tmp_path)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_truncated_frame_is_refused(tmp_path, suffix):
    whole = io.BytesIO()
    Image.fromarray(noise(200, 300)).save(whole, {"jpg": "JPEG", "png": "PNG"}[suffix])
    path = tmp_path / f"00007.{suffix}"
    path.write_bytes(whole.getvalue()[: len(whole.getvalue()) * 6 // 10])
    with pytest.raises(InputError, match=r"00007.*cannot be decoded.*again"):
        images.read_image(path)


@pytest.mark.parametrize("content, found", [(b"", "0 bytes"), (b"hello" * 99, "cannot be decoded")])
def test_a_frame_that_is_not_an_image_is_refused(tmp_path, content, found):
    path = tmp_path / "00007.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"00007\.jpg.*{found}"):
        images.read_image(path)
    with pytest.raises(InputError, match="no such file"):
        images.read_image(tmp_path / "absent.jpg")


def test_decompression_bomb_is_an_input_error(tmp_path, monkeypatch):
    path = save(tmp_path / "bomb.png", noise())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match="bomb"):
        images.read_image(path)


def test_exif_orientation_turns_the_frame(tmp_path):
    path = tmp_path / "phone.jpg"
    image = Image.new("RGB", (80, 40))
    image.paste("white", (0, 0, 40, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the picture is on the right of the stored one
    image.save(path, exif=exif)
    turned = images.read_image(path)
    assert turned.shape == (80, 40, 3)
    assert turned[:30].min() > 200 and turned[50:].max() < 50


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_size_is_that_of_the_upright_picture(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"frame{suffix}"
    Image.fromarray(noise()).save(path, exif=exif)
    assert images.read_size(path) == images.read_image(path).shape[:2]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_frames_of_any_mode_become_rgb(tmp_path, mode):
    path = tmp_path / ("frame.jpg" if mode == "CMYK" else "frame.png")
    Image.new("RGB", (8, 6), "white").convert(mode).save(path)
    image = images.read_image(path)
    assert image.dtype == np.uint8 and image.shape == (6, 8, 3)
    assert image.min() > 250


def test_16_bit_frame_is_scaled(tmp_path):
    path = tmp_path / "frame.png"
    Image.fromarray(np.array([[0, 257, 32896, 65535]], np.uint16)).save(path)
    assert images.read_image(path)[0, :, 1].tolist() == [0, 1, 128, 255]


# Files


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_failed_write_leaves_the_old_file_alone(tmp_path, error):
    path = tmp_path / "näme of a mask.png"
    path.write_text("old")

    def write(temporary_path: Path) -> None:
        assert (
            temporary_path.suffix == ".png"
            and temporary_path.name.startswith(".")
            and temporary_path.parent == tmp_path
        )
        temporary_path.write_text("half")
        raise error

    with pytest.raises(type(error)):
        files.write_atomically(path, write)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "old"


def test_write_json_keeps_order_and_accents(tmp_path):
    path = tmp_path / "run.json"
    files.write_json(path, {"b": "Hündchen", "a": [1, 2.5]})
    assert list(json.loads(path.read_text(encoding="utf-8"))) == ["b", "a"]
    assert "Hündchen" in path.read_text(encoding="utf-8")
    assert files.sha256_of(path) == files.sha256_of(path) and len(files.sha256_of(path)) == 64


def test_resize_image_averages_when_shrinking():
    image = np.array([[0, 100, 200, 100]], np.uint8).repeat(2, axis=0)
    assert images.resize_image(image, 1, 2).tolist() == [[50, 150]]
    assert images.resize_image(noise(), 80, 120).shape == (80, 120, 3)


# Folders that hold more than frames


def frames_in(folder: Path, count: int = 4, suffix: str = ".jpg") -> Path:
    folder.mkdir()
    for index in range(count):
        save(folder / f"img_{index:04d}{suffix}", np.roll(noise(), index, axis=1))
    return folder


@pytest.mark.parametrize("name", ["img_0004.tif", "img_0002b.BMP", "x.heic", "film.mp4", "c.mts"])
def test_what_would_be_left_out_of_the_frames_is_refused(tmp_path, name):
    folder = frames_in(tmp_path / "hen")
    (folder / name).touch()
    with pytest.raises(InputError, match=f"hen: .*img_0000.jpg.*{name}, which would be left out"):
        images.list_frames(folder)


def test_what_is_no_frame_is_left_out(tmp_path):
    folder = frames_in(tmp_path / "hen")
    for name in ("Thumbs.db", "notes.txt", ".hidden.tif", "img_0001.CR2", "img_0001.xml"):
        (folder / name).touch()
    assert len(images.list_frames(folder)) == 4


def test_frames_of_another_format_alone_are_named(tmp_path):
    (tmp_path / "1.tif").touch()
    with pytest.raises(InputError, match=r"found only 1\.tif; convert them to PNG"):
        images.list_frames(tmp_path)


def test_a_link_without_target_is_refused(tmp_path):
    folder = frames_in(tmp_path / "hen")
    (folder / "img_0002.jpg").unlink()
    (folder / "img_0002.jpg").symlink_to(tmp_path / "annex" / "object")
    with pytest.raises(InputError, match=r"img_0002\.jpg: .*a link whose target is missing"):
        images.list_frames(folder)
    (tmp_path / "linked").symlink_to(tmp_path / "unplugged")
    with pytest.raises(InputError, match="linked: expected a folder, found a link whose target"):
        images.list_frames(tmp_path / "linked")


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_label_among_the_frames_is_refused(tmp_path, suffix):
    folder = frames_in(tmp_path / "hen", suffix=suffix)
    mask = np.zeros((40, 60), np.uint8)
    mask[8:24, 8:24] = 255
    save(folder / "img_0002_mask.png", mask)
    with pytest.raises(InputError, match="img_0002_mask.png: expected a picture.*found a label"):
        FrameFolder(folder).check()


@pytest.mark.parametrize("name", ["img_0002_mask", "mask_0002", "0002", "label"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
def test_a_label_of_the_same_mode_as_the_frames_is_refused(tmp_path, mode, name):
    folder = tmp_path / "hen"
    folder.mkdir()
    for number in range(4):
        Image.fromarray(noise(seed=number)).convert(mode).save(folder / f"img_{number:04d}.png")
    assert FrameFolder(folder).check() == []
    mask = np.zeros((40, 60), np.uint8)
    mask[8:24, 8:24] = 255
    Image.fromarray(mask).convert(mode).save(folder / f"{name}.png")
    with pytest.raises(InputError, match=f"{name}.png: expected a picture.*found a label"):
        FrameFolder(folder).check()


@pytest.mark.parametrize("highest", [1, 4, 255])
def test_a_frame_of_few_values_is_a_frame(tmp_path, highest):
    folder = frames_in(tmp_path / "hen", suffix=".png")
    fading = np.random.default_rng(0).integers(0, 2, (40, 60, 1), np.uint8) * np.uint8(highest)
    save(folder / "img_0004.png", np.repeat(fading, 3, axis=2))
    assert FrameFolder(folder).check() == []


@pytest.mark.parametrize(
    "names",
    [
        [f"{number / 25:g}" for number in range(50)],
        [f"frame_{number:04x}" for number in range(32)],
        [f"{side}_{number}" for side in "LR" for number in range(9)],
        [f"frame_{number}" for number in range(-3, 20)],
    ],
    ids=lambda names: names[-1],
)
def test_a_dark_frame_is_a_frame_whatever_pictures_are_named(tmp_path, names):
    for dark in (0, len(names) // 2, len(names) - 1):
        folder = tmp_path / str(dark)
        folder.mkdir()
        for number, name in enumerate(names):
            save(folder / f"{name}.png", noise(seed=number) // (255 if number == dark else 1))
        assert FrameFolder(folder).check() == []


def test_a_title_in_black_and_white_among_frames_in_black_and_white_is_a_frame(tmp_path):
    folder = tmp_path / "hen"
    folder.mkdir()
    for seed, name in enumerate(("img_1", "img_2", "img_3", "title")):
        save(folder / f"{name}.png", (noise(seed=seed)[..., 0] > 127) * np.uint8(255))
    assert FrameFolder(folder).check() == []


def test_a_grey_or_black_frame_among_colours_is_a_frame(tmp_path):
    folder = frames_in(tmp_path / "hen", suffix=".png")
    save(folder / "img_0004.png", noise()[..., 0])
    save(folder / "img_0005.png", np.zeros((40, 60), np.uint8))
    assert FrameFolder(folder).check() == []


@pytest.mark.parametrize("content", ["name\n", "na\xefve\n", "\u540d\u524d\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be with mark"])
def test_text_of_any_program_is_read(tmp_path, encoding, content):
    path = tmp_path / "list.txt"
    if encoding == "utf-16-be with mark":
        path.write_bytes(b"\xfe\xff" + content.encode("utf-16-be"))
    else:
        path.write_bytes(content.encode(encoding))
    assert files.read_text(path) == content


@pytest.mark.parametrize(
    "content, found",
    [(b"a\n# caf\xe9\n", "another encoding in line 2"), (b"a\0b\0\n\0", "zero bytes")],
)
def test_other_text_is_refused_by_name(tmp_path, content, found):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"list\.txt: .*{found}.*save it as UTF-8"):
        files.read_text(path)


def test_names_that_are_not_utf8_survive_in_json(tmp_path):
    content = {"input": "fran\udce7ais", "accent": "\u00e9"}
    files.write_json(tmp_path / "a.json", content)
    assert files.read_json(tmp_path / "a.json") == content
    assert (tmp_path / "a.json").read_text("utf-8").count("\u00e9") == 1
