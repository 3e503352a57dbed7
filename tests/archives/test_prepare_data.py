"""prepare_data.py on small archives of exactly the official structure, and on hostile ones."""

import dataclasses
import errno
import functools
import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import tracemalloc
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat
from scipy.sparse import csc_matrix

import prepare_data
from prepare_data import Config, main
from utils import paths
from utils.archives import archives, sources, unpacking
from utils.archives.archives import list_archives, list_members, read_members
from utils.archives.object_masks import mask_from_sbd, mask_from_voc, source_of_mask
from utils.archives.sources import TEST_SEQUENCES
from utils.command_line import parse_config, run_script
from utils.errors import InputError, UsageError
from utils.files import sha256_of
from utils.media.labels import davis_palette, read_label
from utils.training.pair_lists import read_pairs

REPOSITORY = Path(prepare_data.__file__).parent
OLD, BOTH, ONLY_SBD = "2007_000032", "2008_000002", "2008_000008"
SHAPE = (24, 32)

# What each data set says of one image: a rectangle, in VOC with a border of void.
VOC_LABELS = np.zeros(SHAPE, np.uint8)
VOC_LABELS[4:16, 4:20] = 255
VOC_LABELS[5:15, 5:19] = 1
VOC_LABELS[5:15, 12:19] = 2
SBD_LABELS = np.zeros(SHAPE, np.uint8)
SBD_LABELS[8:20, 8:24] = 3
VOC_MASK = np.select([VOC_LABELS == 255, VOC_LABELS > 0], [128, 255], 0)
SBD_MASK = np.where(SBD_LABELS > 0, 255, 0)


def jpeg(seed: int = 0, shape=SHAPE) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (*shape, 3), dtype=np.uint8)
    return encode(Image.fromarray(pixels), "JPEG")


def png(labels: np.ndarray, palette: bool = False) -> bytes:
    image = Image.fromarray(labels.astype(np.uint8))
    if palette:
        image.putpalette(davis_palette().tobytes())
    return encode(image, "PNG")


def encode(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind)
    return buffer.getvalue()


def mat(name: str, labels: np.ndarray) -> bytes:
    """A .mat file as SBD's: a struct with a cell of sparse boundaries, a matrix and a column."""
    boundaries = np.empty((2, 1), object)
    boundaries[0, 0] = csc_matrix(labels > 2)
    boundaries[1, 0] = csc_matrix(labels > 5)
    truth = {"Boundaries": boundaries, "Segmentation": labels}
    truth |= {"CategoriesPresent" if name == "GTcls" else "Categories": np.array([[3], [5]])}
    buffer = io.BytesIO()
    savemat(buffer, {name: truth}, do_compression=True)
    return buffer.getvalue()


def voc_files(ids=(OLD, BOTH)) -> dict[str, bytes]:
    top = "VOCdevkit/VOC2012"
    files = {f"{top}/Annotations/{OLD}.xml": b"<annotation/>"}
    files[f"{top}/ImageSets/Segmentation/trainval.txt"] = "\n".join(ids).encode()
    for name in (*ids, "2009_000999"):  # of most images there is no mask
        files[f"{top}/JPEGImages/{name}.jpg"] = jpeg(int(name[5:]))
    for name in ids:
        classes = np.where(VOC_LABELS == 255, 255, (VOC_LABELS > 0) * 15)
        files[f"{top}/SegmentationClass/{name}.png"] = png(classes, palette=True)
        files[f"{top}/SegmentationObject/{name}.png"] = png(VOC_LABELS, palette=True)
    return files


def sbd_files(ids=(BOTH, ONLY_SBD)) -> dict[str, bytes]:
    top = "benchmark_RELEASE"
    files = {f"{top}/BharathICCV2011.pdf": b"%PDF"}
    for name in ids:
        files[f"{top}/dataset/cls/{name}.mat"] = mat("GTcls", SBD_LABELS)
        files[f"{top}/dataset/img/{name}.jpg"] = jpeg(int(name[5:]))
        files[f"{top}/dataset/inst/{name}.mat"] = mat("GTinst", np.minimum(SBD_LABELS, 1))
    files[f"{top}/dataset/train.txt"] = "\n".join(ids).encode()
    demo = f"{top}/benchmark_code_RELEASE/demo/datadir"  # with labels of its own
    files[f"{demo}/cls/{ONLY_SBD}.mat"] = mat("GTcls", np.ones(SHAPE, np.uint8))
    files[f"{demo}/inst/{ONLY_SBD}.mat"] = mat("GTinst", np.ones(SHAPE, np.uint8))
    files[f"{demo}/img/{ONLY_SBD}.jpg"] = jpeg(99)
    return files


def davis_files(top="DAVIS/", train=("bear", "train"), num_frames=2) -> dict[str, bytes]:
    files = {f"{top}ImageSets/480p/train.txt": b"/JPEGImages/480p/bear/00000.jpg ..."}
    for number, sequence in enumerate((*train, "breakdance", *TEST_SEQUENCES)):
        for i in range(num_frames):
            frame = f"{sequence}/{i:05d}"
            files[f"{top}JPEGImages/480p/{frame}.jpg"] = jpeg(number + i)
            files[f"{top}JPEGImages/1080p/{frame}.jpg"] = jpeg(number + i, (48, 64))
            files[f"{top}Annotations/480p/{frame}.png"] = png(SBD_MASK)
    return files


def write_tar(path: Path, files: dict[str, bytes], extra=()) -> Path:
    """A tar with its folders; `extra` are headers of links, devices and the like at its end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folders = sorted({str(parent) for name in files for parent in Path(name).parents})
    folders = [name for name in folders if name[0].isalpha() and not {".", ":"} & set(name)]
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as tar:
        for folder in folders:
            header = tarfile.TarInfo(folder)
            header.type = tarfile.DIRTYPE
            tar.addfile(header)
        for name, data in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
        for header in extra:
            tar.addfile(header)
    return path


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tar_link(name: str, target: str, kind=tarfile.SYMTYPE) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, target
    return header


class World:
    """Empty data set folders below `root`, with short lists."""

    def __init__(self, root: Path, monkeypatch):
        self.archives = root / "archives"
        self.pascal, self.davis = (
            root / "pascal_extension_dataset",
            root / "DAVIS2016_train_dataset",
        )
        self.test = root / "finetune_test_dataset"
        for name, value in {
            "DATASETS": root,
            "ARCHIVES": self.archives,
            "PASCAL_DATASET": self.pascal,
            "DAVIS_TRAIN_DATASET": self.davis,
            "FINETUNE_TEST_DATASET": self.test,
        }.items():
            monkeypatch.setattr(paths, name, value)
        for name in ("PASCAL_FULL", "PASCAL", "PASCAL_VALIDATION", "DAVIS", "DAVIS_VALIDATION"):
            attribute = f"{name}_LIST"
            monkeypatch.setattr(paths, attribute, root / getattr(paths, attribute).name)
        for sequence in TEST_SEQUENCES:
            monkeypatch.setitem(TEST_SEQUENCES, sequence, 2)
        self.write_list(paths.PASCAL_FULL_LIST, (OLD, BOTH, ONLY_SBD))
        self.write_list(paths.PASCAL_LIST, (BOTH, ONLY_SBD))
        self.write_list(paths.PASCAL_VALIDATION_LIST, (BOTH,))
        self.write_list(
            paths.DAVIS_LIST, [f"{s}/0000{i}" for s in ("bear", "train") for i in (0, 1)]
        )
        self.write_list(paths.DAVIS_VALIDATION_LIST, ("bear/00000", "bear/00001"))

    def write_list(self, path: Path, ids):
        path.write_text("".join(f"JPEGImages/{i}.jpg Annotations/{i}.png\n" for i in ids))

    def run(self, *data_sets: str, download=False) -> int:
        return main(Config(data_sets, self.archives, download))

    def add_voc(self, **files) -> Path:
        return write_tar(self.archives / "VOCtrainval_11-May-2012.tar", voc_files(**files))

    def add_sbd(self, **files) -> Path:
        return write_tar(self.archives / "benchmark.tgz", sbd_files(**files))

    def mask(self, name: str) -> np.ndarray:
        return np.asarray(Image.open(self.pascal / "Annotations" / f"{name}.png"))

    def written(self) -> set[str]:
        """Every file below the data set folders, hidden ones too."""
        folders = (self.pascal, self.davis, self.test)
        files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(self.pascal.parent).as_posix() for path in files}


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path, monkeypatch)


class TestPascal:
    def test_masks_are_class_agnostic_and_vocs_win(self, world):
        world.add_voc()
        world.add_sbd()
        assert world.run("pascal") == 0
        np.testing.assert_array_equal(world.mask(OLD), VOC_MASK)
        np.testing.assert_array_equal(world.mask(BOTH), VOC_MASK)
        np.testing.assert_array_equal(world.mask(ONLY_SBD), SBD_MASK)

    def test_masks_are_read_as_one_object_and_void(self, world):
        world.add_voc()
        world.add_sbd()
        world.run("pascal")
        labels = read_label(world.pascal / "Annotations" / f"{BOTH}.png").values
        np.testing.assert_array_equal(
            labels, np.select([VOC_MASK == 128, VOC_MASK > 0], [255, 1], 0)
        )

    def test_images_are_copied_byte_for_byte_and_only_what_the_lists_name(self, world):
        world.add_voc()
        world.add_sbd()
        world.run("pascal")
        assert world.written() == {
            f"pascal_extension_dataset/{folder}/{name}.{suffix}"
            for name in (OLD, BOTH, ONLY_SBD)
            for folder, suffix in (("JPEGImages", "jpg"), ("Annotations", "png"))
        }
        for name in (OLD, BOTH, ONLY_SBD):
            image = (world.pascal / "JPEGImages" / f"{name}.jpg").read_bytes()
            assert image == jpeg(int(name[5:]))

    def test_archives_are_known_by_their_content(self, world):
        write_tar(world.archives / "a.tar", {f"./{k}": v for k, v in voc_files().items()})
        write_zip(world.archives / "b.zip", sbd_files())
        assert world.run("pascal") == 0
        assert source_of_mask(world.pascal / "Annotations" / f"{OLD}.png") == "PASCAL VOC 2012"
        assert source_of_mask(world.pascal / "Annotations" / f"{ONLY_SBD}.png") == "SBD"

    @pytest.mark.parametrize("name", ["benchmark", "benchmark.tgz.1", "benchmark.gz"])
    def test_archives_are_known_without_the_usual_suffix(self, world, name):
        """They were passed over without a word."""
        world.add_sbd().rename(world.archives / name)
        voc = world.add_voc()
        voc.rename(voc.with_suffix(""))
        assert world.run("pascal") == 0
        assert source_of_mask(world.pascal / "Annotations" / f"{OLD}.png") == "PASCAL VOC 2012"
        assert source_of_mask(world.pascal / "Annotations" / f"{ONLY_SBD}.png") == "SBD"

    def test_one_archive_gives_what_it_has_and_the_other_is_named(self, world, capsys):
        world.add_sbd()
        assert world.run("pascal") == 1
        np.testing.assert_array_equal(world.mask(BOTH), SBD_MASK)
        out = capsys.readouterr().out
        assert "pretrain_benchmark_reduced.txt: 2 of 2 pairs" in out
        assert "pretrain_benchmark_and_pascal.txt: 2 of 3 pairs" in out
        assert f"{OLD}.jpg is missing" in out
        assert "VOCtrainval_11-May-2012.tar" in out and "the 632 images of 2007" in out

    def test_vocs_archive_alone_is_not_enough_either(self, world, capsys):
        world.add_voc()
        assert world.run("pascal") == 1
        np.testing.assert_array_equal(world.mask(BOTH), VOC_MASK)
        assert "benchmark.tgz" in capsys.readouterr().out

    def test_masks_of_voc_replace_those_of_sbd_but_never_the_other_way(self, world):
        world.add_sbd()
        world.run("pascal")
        voc = world.add_voc()
        assert world.run("pascal") == 0
        np.testing.assert_array_equal(world.mask(BOTH), VOC_MASK)
        voc.unlink()
        assert world.run("pascal") == 0
        np.testing.assert_array_equal(world.mask(BOTH), VOC_MASK)

    def test_class_labels_serve_where_there_are_no_objects(self, world):
        voc = {k: v for k, v in voc_files().items() if "SegmentationObject" not in k}
        sbd = {k: v for k, v in sbd_files().items() if "/inst/" not in k}
        write_tar(world.archives / "voc.tar", voc)
        write_tar(world.archives / "sbd.tgz", sbd)
        assert world.run("pascal") == 0
        np.testing.assert_array_equal(world.mask(OLD), VOC_MASK)
        np.testing.assert_array_equal(world.mask(ONLY_SBD), SBD_MASK)

    def test_an_edited_list_asks_for_what_it_names(self, world):
        world.write_list(paths.PASCAL_LIST, (BOTH, "2009_000123", "mine/first"))
        world.add_voc()
        world.add_sbd(ids=(BOTH, ONLY_SBD, "2009_000123"))
        assert world.run("pascal") == 1  # nothing has mine/first
        mine = {"JPEGImages/mine/first.jpg": jpeg(), "Annotations/mine/first.png": png(SBD_MASK)}
        for name, data in mine.items():
            path = world.pascal / name
            path.parent.mkdir()
            path.write_bytes(data)
        assert world.run("pascal") == 0
        assert (world.pascal / "Annotations" / "2009_000123.png").is_file()

    def test_image_and_mask_of_different_sizes_are_told(self, world, capsys):
        files = sbd_files()
        files[f"benchmark_RELEASE/dataset/img/{ONLY_SBD}.jpg"] = jpeg(1, (32, 24))
        write_tar(world.archives / "benchmark.tgz", files)
        world.add_voc()
        assert world.run("pascal") == 1
        assert f"{ONLY_SBD}.jpg and its mask differ in size" in capsys.readouterr().out

    def test_no_list_at_all_is_an_error(self, world):
        for path in (paths.PASCAL_FULL_LIST, paths.PASCAL_LIST, paths.PASCAL_VALIDATION_LIST):
            path.unlink()
        with pytest.raises(InputError, match="pretrain_benchmark_reduced.txt"):
            world.run("pascal")

    def test_a_finished_data_set_needs_no_archive(self, world):
        world.add_voc()
        world.add_sbd()
        world.run("pascal")
        shutil.rmtree(world.archives)
        assert world.run("pascal") == 0


class TestMasks:
    @pytest.mark.parametrize("name", ["GTinst", "GTcls"])
    def test_sbd_structs_of_both_kinds_are_read(self, name):
        mask = mask_from_sbd(mat(name, SBD_LABELS))
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, SBD_MASK)

    def test_void_without_an_object_becomes_background(self):
        labels = np.where(VOC_LABELS == 255, 255, 0)
        assert not mask_from_voc(png(labels, palette=True)).any()

    @pytest.mark.parametrize(
        "data",
        [b"", b"MATLAB 5.0 MAT-file", mat("other", SBD_LABELS)],
        ids=["empty", "only the header", "another variable"],
    )
    def test_other_files_are_no_sbd_labels(self, data):
        with pytest.raises(InputError, match="SBD"):
            mask_from_sbd(data)

    def test_colours_are_no_voc_labels(self):
        with pytest.raises(InputError, match="RGB"):
            mask_from_voc(jpeg())


class TestDavis:
    @pytest.mark.parametrize("top", ["DAVIS/", "", "DAVIS-2016/data/"])
    def test_training_and_test_videos_go_to_their_folders_unchanged(self, world, top):
        files = davis_files(top)
        write_zip(world.archives / "DAVIS-data.zip", files)
        assert world.run("davis") == 0
        expected = {}
        for name, data in files.items():
            kind, size, sequence, frame = ("/" + name.removeprefix(top) + "////").split("/")[1:5]
            if size == "480p" and sequence in TEST_SEQUENCES:
                expected[world.test / kind / size / sequence / frame] = data
            elif size == "480p" and sequence in ("bear", "train"):
                expected[world.davis / kind / sequence / frame] = data
        assert {path: path.read_bytes() for path in expected} == expected
        assert len(world.written()) == len(expected)

    def test_a_missing_frame_is_told(self, world, capsys):
        files = davis_files()
        del files["DAVIS/Annotations/480p/libby/00001.png"]
        write_zip(world.archives / "DAVIS-data.zip", files)
        assert world.run("davis") == 1
        assert "the seven test videos: 13 of 14 pairs" in capsys.readouterr().out

    def test_davis_2017_is_not_taken_for_2016(self, world, capsys):
        files = davis_files() | {"DAVIS/ImageSets/2017/train.txt": b"bear"}
        write_zip(world.archives / "DAVIS-2017-trainval-480p.zip", files)
        assert world.run("davis") == 1
        assert "DAVIS 2016 is needed" in capsys.readouterr().err
        assert not world.written()


class TestOriginalArchives:
    def test_they_are_unpacked_as_they_are(self, world):
        files = {
            f"pascal_extension_dataset/{folder}/{name}.{suffix}": data
            for name in (OLD, BOTH, ONLY_SBD, "2011_009999")
            for folder, suffix, data in (
                ("JPEGImages", "jpg", jpeg(3)),
                ("Annotations", "png", png(SBD_MASK)),
            )
        }
        write_zip(world.archives / "pascal.zip", files)
        videos = {
            "DAVIS2016_train_dataset": [f"{s}/0000{i}" for s in ("bear", "train") for i in (0, 1)],
            "finetune_test_dataset": [f"480p/{s}/0000{i}" for s in TEST_SEQUENCES for i in (0, 1)],
        }
        for folder, frames in videos.items():
            some = {f"{folder}/JPEGImages/{frame}.jpg": jpeg(5) for frame in frames}
            some |= {f"{folder}/Annotations/{frame}.png": png(VOC_MASK) for frame in frames}
            write_zip(world.archives / f"{folder}.zip", some)
            files |= some
        junk = {"__MACOSX/finetune_test_dataset/JPEGImages/480p/dog/._00000.jpg": b"\0\5\x16\7"}
        write_zip(world.archives / "finetune_test_dataset.zip", some | junk)
        assert world.run("pascal", "davis") == 0
        assert world.written() == set(files)
        assert all(
            (world.pascal.parent / name).read_bytes() == data for name, data in files.items()
        )


class TestBrokenArchives:
    """An error that names the archive, status 1, and only whole files."""

    def check(self, world, archive: Path, capsys, data_set="pascal"):
        assert world.run(data_set) == 1
        err = capsys.readouterr().err
        assert archive.name in err and err.count("\n") == err.count("error: ")
        for name in world.written():
            assert not Path(name).name.startswith(".")
            with Image.open(world.pascal.parent / name) as image:
                image.load()

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
    @pytest.mark.parametrize("name", ["voc.tar", "sbd.tgz", "sbd.zip"])
    def test_cut_off(self, world, capsys, name, share):
        files = voc_files() if name == "voc.tar" else sbd_files()
        path = (write_zip if name.endswith("zip") else write_tar)(world.archives / name, files)
        # A tar ends with up to 10 kB of nothing; without them it is whole.
        content = path.read_bytes().rstrip(b"\0")
        path.write_bytes(content[: int(len(content) * share)])
        self.check(world, path, capsys)
        assert not world.written()

    @pytest.mark.parametrize("name", ["voc.tar", "sbd.tgz", "sbd.zip"])
    def test_damaged_in_the_middle(self, world, capsys, name):
        files = voc_files() if name == "voc.tar" else sbd_files()
        path = (write_zip if name.endswith("zip") else write_tar)(world.archives / name, files)
        content = bytearray(path.read_bytes())
        if name == "voc.tar":  # a header, which tarfile takes for the end
            with tarfile.open(path) as tar:
                start = tar.getmember(f"VOCdevkit/VOC2012/JPEGImages/{BOTH}.jpg").offset
        else:
            start = len(content) // 2
        content[start : start + 200] = bytes(200 * [0xAA])
        path.write_bytes(content)
        self.check(world, path, capsys)

    def test_damaged_members_of_a_whole_archive(self, world, capsys):
        files = sbd_files()
        files[f"benchmark_RELEASE/dataset/inst/{ONLY_SBD}.mat"] = b"\0" * 300
        path = write_tar(world.archives / "benchmark.tgz", files)
        self.check(world, path, capsys)
        files = voc_files()
        files[f"VOCdevkit/VOC2012/JPEGImages/{OLD}.jpg"] = jpeg()[:-200]
        path = write_tar(world.archives / "voc.tar", files)
        self.check(world, path, capsys)
        assert not (world.pascal / "JPEGImages" / f"{OLD}.jpg").exists()

    # Named, because pytest would name them by their bytes, and gzip's hold the second they were
    # packed in: two workers would collect different tests.
    @pytest.mark.parametrize(
        "content",
        [b"", b"<html>not found</html>", gzip.compress(b"no tar")],
        ids=["empty", "a page", "no archive inside"],
    )
    @pytest.mark.parametrize("name", ["a.tar", "a.tgz", "a.zip"])
    def test_no_archive_at_all(self, world, capsys, name, content):
        world.archives.mkdir()
        (world.archives / name).write_bytes(content)
        self.check(world, world.archives / name, capsys)

    def test_the_other_archives_are_unpacked_all_the_same(self, world, capsys):
        world.add_voc()
        path = world.add_sbd()
        path.write_bytes(path.read_bytes()[:-500])
        self.check(world, path, capsys)
        np.testing.assert_array_equal(world.mask(OLD), VOC_MASK)

    def test_a_member_too_large_to_be_an_image(self, world, capsys, monkeypatch):
        monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 300)
        self.check(world, world.add_voc(), capsys)


class TestHostileArchives:
    HOSTILE = ["../evil.txt", "VOCdevkit/VOC2012/../../../evil.txt", "/tmp/evil.txt"]
    HOSTILE += ["C:/evil.txt", "..\\evil.txt", "\\evil.txt"]

    def check(self, world, member: str, capsys):
        assert world.run("pascal") == 1
        assert member.replace("\\", "\\\\") in capsys.readouterr().err
        assert not world.written()
        assert not list(world.pascal.parent.parent.rglob("evil*"))

    @pytest.mark.parametrize("name", HOSTILE)
    @pytest.mark.parametrize("kind", ["tar", "tgz", "zip"])
    def test_names_that_lead_outside_are_refused_before_anything_is_written(
        self, world, capsys, name, kind
    ):
        write = write_zip if kind == "zip" else write_tar
        write(world.archives / f"voc.{kind}", voc_files() | {name: b"evil"})
        self.check(world, name, capsys)

    @pytest.mark.parametrize("target", ["/etc/passwd", "../../../../evil", "C:\\evil"])
    @pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE], ids=["symbolic", "hard"])
    def test_links_out_of_a_tar_are_refused(self, world, capsys, target, kind):
        name = f"VOCdevkit/VOC2012/JPEGImages/{BOTH}.jpg"
        extra = [tar_link(name, target, kind)]
        write_tar(world.archives / "voc.tar", voc_files(), extra)
        self.check(world, name, capsys)

    def test_links_out_of_a_zip_are_refused(self, world, capsys):
        path = write_zip(world.archives / "voc.zip", voc_files())
        link = zipfile.ZipInfo("VOCdevkit/link")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(link, "../../evil")
        self.check(world, "VOCdevkit/link", capsys)

    def test_devices_are_refused(self, world, capsys):
        extra = [tar_link("VOCdevkit/null", "", tarfile.CHRTYPE)]
        write_tar(world.archives / "voc.tar", voc_files(), extra)
        self.check(world, "VOCdevkit/null", capsys)

    def test_a_link_that_stays_inside_is_no_file_and_does_no_harm(self, world):
        extra = [tar_link(f"VOCdevkit/VOC2012/JPEGImages/{ONLY_SBD}.jpg", f"{BOTH}.jpg")]
        write_tar(world.archives / "voc.tar", voc_files(), extra)
        world.run("pascal")
        assert not (world.pascal / "JPEGImages" / f"{ONLY_SBD}.jpg").is_symlink()
        np.testing.assert_array_equal(world.mask(OLD), VOC_MASK)

    @settings(deadline=None)
    @given(st.lists(st.sampled_from(["..", ".", "", "a", "b", "C:", "\\", "..\\"]), min_size=1))
    def test_whatever_name_is_accepted_stays_inside(self, parts):
        try:
            name = archives._safe_name(Path("x.tar"), "/".join(parts))
        except InputError:
            return
        folder = Path("/data/set")
        assert Path(os.path.normpath(folder / name)).is_relative_to(folder)
        assert ".." not in name.split("/")


class TestRunningAgain:
    def test_an_interrupted_run_goes_on_and_leaves_what_is_right(self, world, monkeypatch):
        world.add_voc()
        world.add_sbd()
        written = []

        def stop_after_two(target, write):
            if len(written) == 2:
                raise KeyboardInterrupt
            written.append(target)
            real(target, write)

        real = unpacking.write_atomically
        monkeypatch.setattr(unpacking, "write_atomically", stop_after_two)
        with pytest.raises(KeyboardInterrupt):
            world.run("pascal")
        assert len(world.written()) == 2
        before = {path: path.stat().st_mtime_ns for path in written}
        monkeypatch.setattr(unpacking, "write_atomically", real)
        assert world.run("pascal") == 0
        assert {path: path.stat().st_mtime_ns for path in written} == before

    def test_a_second_run_writes_nothing(self, world, monkeypatch):
        world.add_voc()
        world.add_sbd()
        world.run("pascal")
        monkeypatch.setattr(unpacking, "write_atomically", lambda *_: pytest.fail("wrote again"))
        assert world.run("pascal") == 0

    def test_damaged_files_are_replaced(self, world):
        world.add_voc()
        world.add_sbd()
        world.run("pascal")
        for path in world.pascal.rglob("*.*"):
            path.write_bytes(path.read_bytes()[:60])
        assert world.run("pascal") == 0
        np.testing.assert_array_equal(world.mask(ONLY_SBD), SBD_MASK)
        assert (world.pascal / "JPEGImages" / f"{OLD}.jpg").read_bytes() == jpeg(int(OLD[5:]))

    def test_files_of_the_users_own_are_kept_and_told(self, world, capsys):
        write_zip(world.archives / "DAVIS-data.zip", davis_files())
        mine = world.test / "Annotations" / "480p" / "dog" / "00000.png"
        mine.parent.mkdir(parents=True)
        mine.write_bytes(png(VOC_MASK))
        assert world.run("davis") == 0
        assert mine.read_bytes() == png(VOC_MASK)
        assert str(mine) in capsys.readouterr().out

    def test_a_disk_that_fills_up_is_reported_with_advice(self, world, monkeypatch, capsys):
        world.add_voc()

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(unpacking, "write_atomically", full)
        monkeypatch.setattr("sys.argv", ["x", "pascal", "--archives", str(world.archives)])
        with pytest.raises(SystemExit) as stop:
            run_script(main, Config, "")
        err = capsys.readouterr().err
        assert stop.value.code == 1 and "error: the disk is full" in err and "Free some" in err

    def test_too_little_space_is_told_before_anything_is_written(self, world, monkeypatch):
        world.add_voc()
        usage = shutil.disk_usage(world.archives)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
        with pytest.raises(InputError, match="free space"):
            world.run("pascal")
        assert not world.written()


class TestDownload:
    """From a server that knows no ranges, as Python's own."""

    @pytest.fixture
    def served(self, world, tmp_path, monkeypatch):
        """The folder of a server that stands for the official ones."""
        folder = tmp_path / "served"
        write_tar(folder / "VOCtrainval_11-May-2012.tar", voc_files())
        write_tar(folder / "benchmark.tgz", sbd_files())
        write_zip(folder / "DAVIS-data.zip", davis_files())
        handler = functools.partial(QuietHandler, directory=str(folder))
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        for function in (sources.pascal_sources, sources.davis_sources):
            monkeypatch.setattr(
                prepare_data,
                function.__name__,
                lambda function=function: tuple(
                    self.served_here(source, address, folder) if source.url else source
                    for source in function()
                ),
            )
        yield folder
        server.shutdown()
        server.server_close()

    @staticmethod
    def served_here(source, address, folder):
        path = folder / source.file_name
        return dataclasses.replace(
            source,
            url=f"{address}/{source.file_name}",
            num_bytes=path.stat().st_size,
            sha256=source.sha256 and sha256_of(path),
        )

    def test_missing_archives_are_fetched_and_unpacked(self, world, served):
        assert world.run("pascal", "davis", download=True) == 0
        np.testing.assert_array_equal(world.mask(BOTH), VOC_MASK)
        assert (world.test / "JPEGImages" / "480p" / "libby" / "00001.jpg").is_file()
        assert {path.name for path in world.archives.iterdir()} == {
            path.name for path in served.iterdir()
        }

    def test_only_what_is_missing_is_fetched(self, world, served):
        world.add_sbd()
        (served / "benchmark.tgz").write_bytes(b"never asked for")
        assert world.run("pascal", download=True) == 0

    def test_a_finished_data_set_fetches_nothing(self, world, served):
        world.run("pascal", download=True)
        shutil.rmtree(world.archives)
        assert world.run("pascal", download=True) == 0
        assert not world.archives.exists()

    def test_one_that_cannot_be_had_does_not_keep_the_others_away(self, world, served, capsys):
        content = (served / "VOCtrainval_11-May-2012.tar").read_bytes()
        (served / "VOCtrainval_11-May-2012.tar").write_bytes(content[:-1] + b"x")
        real = prepare_data.pascal_sources()
        (served / "VOCtrainval_11-May-2012.tar").write_bytes(content)
        prepare_data.pascal_sources = lambda: real  # the monkeypatch of `served` undoes it
        assert world.run("pascal", download=True) == 1
        assert "sha256" in capsys.readouterr().err
        np.testing.assert_array_equal(world.mask(ONLY_SBD), SBD_MASK)

    def test_another_file_of_that_name_is_never_replaced(self, world, served, capsys):
        world.archives.mkdir()
        mine = write_zip(world.archives / "benchmark.tgz", {"mine.txt": b"mine"})
        content = mine.read_bytes()
        assert world.run("pascal", download=True) == 1
        assert mine.read_bytes() == content
        assert "remove it" in capsys.readouterr().err

    def test_a_full_disk_is_told_before_the_download(self, world, served, monkeypatch, capsys):
        usage = shutil.disk_usage(served)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**9))
        assert world.run("pascal", download=True) == 1
        assert "free space" in capsys.readouterr().err
        assert not world.archives.exists()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class TestReport:
    def test_bare_it_says_what_is_missing_and_where_to_get_it(self, world, capsys):
        world.add_sbd()
        assert world.run() == 0
        out = capsys.readouterr().out
        assert "pretrain_benchmark_reduced.txt: 0 of 2 pairs" in out
        assert "davis2016_trainset.txt: 0 of 4 pairs" in out
        assert "benchmark.tgz is present: SBD" in out
        for source in (*sources.pascal_sources(), *sources.davis_sources()):
            assert (source.url in out) == (source.name != "SBD")
        assert "python prepare_data.py pascal" in out
        assert not world.written()

    def test_the_archive_of_the_test_of_voc_is_not_the_one_that_is_needed(self, world, capsys):
        """It has the same folder of images, and the other one was called present."""
        files = {f"VOCdevkit/VOC2012/JPEGImages/{OLD}.jpg": jpeg()}
        write_tar(world.archives / "VOC2012test.tar", files)
        assert world.run() == 0
        out = capsys.readouterr().out
        assert "VOC2012test.tar is present" not in out and "VOCtrainval_11-May-2012.tar" in out

    def test_the_commands_name_the_folder_of_the_archives(self, world, capsys):
        """As they were, they looked elsewhere."""
        elsewhere = world.archives.with_name("elsewhere")
        elsewhere.mkdir()
        main(Config(archives=elsewhere))
        out = capsys.readouterr().out
        assert f"python prepare_data.py pascal --archives {elsewhere} --download" in out
        assert f"then: python prepare_data.py davis --archives {elsewhere}" in out

    def test_complete_data_sets_are_counted(self, world, capsys):
        world.add_voc()
        world.add_sbd()
        world.run("pascal")
        capsys.readouterr()
        assert world.run() == 0
        assert "pretrain_benchmark_and_pascal.txt: 3 of 3 pairs" in capsys.readouterr().out

    def test_broken_archives_are_told_and_the_status_is_0(self, world, capsys):
        path = world.add_voc()
        path.write_bytes(path.read_bytes()[:5000])
        assert world.run() == 0
        assert path.name in capsys.readouterr().err

    def test_nothing_there_at_all(self, world, capsys):
        assert world.run() == 0
        assert capsys.readouterr().err == ""

    def test_unfinished_downloads_are_no_archives(self, world):
        world.archives.mkdir()
        (world.archives / "benchmark.tgz.part").write_bytes(b"\x1f\x8b")
        (world.archives / "notes.txt.gz").write_bytes(b"\x1f\x8b")
        assert list_archives(world.archives) == []

    def test_only_archives_are_listed_whatever_their_names(self, world):
        zipped = write_zip(world.archives / "DAVIS", davis_files())
        world.add_sbd().rename(world.archives / "benchmark.tgz.1")
        for suffix in ("part", "crdownload"):
            shutil.copy(world.archives / "benchmark.tgz.1", world.archives / f"voc.{suffix}")
        shutil.copy(zipped, world.archives / ".DAVIS")
        for name in ("report.docx", "weights.pt", "table.npz"):  # zip files, too
            shutil.copy(zipped, world.archives / name)
        (world.archives / "readme").write_text("ustar")
        (world.archives / "empty").touch()
        for name, text in (("notes.gz", b"ustar" * 99), ("inner.gz", zipped.read_bytes())):
            (world.archives / name).write_bytes(gzip.compress(text))
        (world.archives / "cut").write_bytes(gzip.compress(bytes(range(256)) * 9)[:20])
        assert list_archives(world.archives) == [zipped, world.archives / "benchmark.tgz.1"]

    def test_a_folder_that_is_not_there_is_an_error(self, world):
        with pytest.raises(InputError, match="nowhere"):
            main(Config(("pascal",), world.archives / "nowhere"))

    def test_a_download_needs_a_name(self, world):
        with pytest.raises(UsageError, match="pascal"):
            world.run(download=True)

    @pytest.mark.parametrize(
        ("words", "data_sets"),
        [([], ()), (["pascal"], ("pascal",)), (["--archives", "x", "davis"], ("davis",))],
    )
    def test_the_data_set_is_a_plain_word(self, words, data_sets):
        assert parse_config(Config, "", words).data_sets == data_sets

    @pytest.mark.parametrize("words", [["bird"], ["None"], ["--down"]])
    def test_other_words_are_refused(self, words):
        with pytest.raises(SystemExit) as stop:
            parse_config(Config, "", words)
        assert stop.value.code == 2

    def test_the_script_runs_as_it_is_and_needs_no_keras(self, tmp_path):
        code = "import runpy, sys; sys.argv = ['prepare_data.py', '--archives', sys.argv[1]]\n"
        code += "try: runpy.run_path('prepare_data.py', run_name='__main__')\n"
        code += "except SystemExit as stop: print(stop.code, 'keras' in sys.modules)"
        command = [sys.executable, "-c", code, str(tmp_path)]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
        assert done.stdout.splitlines()[-1] == "0 False", done.stderr


class TestCommittedLists:
    @pytest.mark.parametrize(
        ("name", "count"),
        [
            ("pretrain_benchmark_and_pascal.txt", 11_987),
            ("pretrain_benchmark_reduced.txt", 11_160),
            ("test_algorithm_pretrain_benchmark_reduced.txt", 26),
            ("davis2016_trainset.txt", 2_079),
            ("test_algorithm_davis2016_trainset.txt", 82),
        ],
    )
    def test_they_are_whole_and_what_the_archives_can_give(self, name, count):
        pairs = read_pairs(REPOSITORY / "datasets" / name)
        assert len(set(pairs)) == count
        for image, mask in pairs:
            stem = image.removeprefix("JPEGImages/").removesuffix(".jpg")
            assert (image, mask) == (f"JPEGImages/{stem}.jpg", f"Annotations/{stem}.png")

    def test_the_shorter_list_is_part_of_the_longer(self):
        full, reduced = (
            set(read_pairs(REPOSITORY / "datasets" / f"pretrain_benchmark_{name}.txt"))
            for name in ("and_pascal", "reduced")
        )
        assert reduced < full

    def test_the_test_videos_are_those_of_the_paper(self):
        assert len(TEST_SEQUENCES) == 7 and sum(TEST_SEQUENCES.values()) == 493

    @pytest.mark.parametrize("line", ["JPEGImages/a.jpg", "a b c"])
    def test_a_line_that_is_no_pair_is_named(self, tmp_path, line):
        path = tmp_path / "list.txt"
        path.write_text(f"# mine\n\na.jpg a.png\n{line}\n")
        with pytest.raises(InputError, match="line 4"):
            read_pairs(path)


def test_memory_does_not_grow_with_the_archive(tmp_path):
    data = os.urandom(2**20)
    path = write_tar(tmp_path / "a.tar", {f"{i}.jpg": data for i in range(64)})
    tracemalloc.start()
    total = sum(len(content) for _, content in read_members(path, list_members(path)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 64 * 2**20 and peak < 8 * 2**20
