"""Labels and drafts of the page: what is saved, what is refused, what is read back."""

import errno
import io
import os
import threading

import numpy as np
import pytest
from PIL import Image

from tests.bright_hen import HEIGHT, NOTHING, WIDTH, ellipse
from tests.page_client import TOKEN, labels_of, png
from utils import paths
from utils.annotator.prompts import BY_HAND
from utils.annotator.server import create_app
from utils.annotator.task import AnnotationTask
from utils.inputs.guidance import read_labels
from utils.inputs.sequences import open_dataset_sequence
from utils.media.labels import davis_palette, write_label


def test_one_animal_is_saved_white_on_black_and_read_back_exactly(client, task):
    labels = np.uint8(ellipse(3))
    answer = client.post("/api/labels/3", data=png(labels)).get_json()
    assert answer["path"] == str(task.label_path(3)) and answer["labelled"] == [3]
    image = Image.open(task.label_path(3))
    assert image.mode == "L" and image.size == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(np.asarray(image), labels * 255)
    np.testing.assert_array_equal(labels_of(client.get("/api/masks/label/3")), labels)


def test_several_animals_are_saved_with_the_palette_and_keep_their_numbers(client, task):
    labels = NOTHING.copy()
    labels[10:30, 10:30], labels[50:60, 40:90] = 1, 3
    client.post("/api/labels/2", data=png(labels))
    image = Image.open(task.label_path(2))
    assert image.mode == "P"
    np.testing.assert_array_equal(np.asarray(image), labels)
    assert image.getpalette()[:12] == davis_palette()[:4].ravel().tolist()
    np.testing.assert_array_equal(labels_of(client.get("/api/masks/label/2")), labels)
    alone = np.where(labels == 3, np.uint8(3), np.uint8(0))
    client.post("/api/labels/2", data=png(alone))
    np.testing.assert_array_equal(labels_of(client.get("/api/masks/label/2")), alone)


def test_what_is_saved_is_what_stage_3_reads(client, task, dataset):
    for index in (1, 6):
        client.post(f"/api/labels/{index}", data=png(np.uint8(ellipse(index))))
    sequence = open_dataset_sequence(dataset, "hen")
    assert sequence.source == "datasets/labels" and list(sequence.labels) == [1, 6]
    for index, label in read_labels(sequence, (1, 6)).items():
        np.testing.assert_array_equal(label.values, ellipse(index))


RED, BLUE = (255, 0, 0), (0, 0, 255)  # no colours of the DAVIS palette


def write_coloured(path, *animals):
    """Writes a label of another program; `animals`: colours and the left edges of their squares."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for colour, left in animals:
        image[10:30, left : left + 20] = colour
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.mark.parametrize("saved", [2, 5])
def test_animals_in_colours_have_one_number_in_all_labels_of_a_video(client, task, dataset, saved):
    """One that was saved here was another animal than in the labels of the other program."""
    write_coloured(task.label_path(2), (BLUE, 10), (RED, 40))
    write_coloured(task.label_path(5), (RED, 45))
    labels = {f: labels_of(client.get(f"/api/masks/label/{f}")).copy() for f in (2, 5)}
    assert labels[2][20, 20] == 1 and labels[2][20, 50] == labels[5][20, 50] == 2
    labels[saved][40:45, 45:60] = 2
    labels[saved][50:55, 10:30] = 3  # an animal that the other program has not seen
    other = task.label_path(7 - saved)
    before = other.read_bytes()
    assert client.post(f"/api/labels/{saved}", data=png(labels[saved])).status_code == 200
    of_run = read_labels(open_dataset_sequence(dataset, "hen"), (2, 5))
    for frame, expected in labels.items():
        assert of_run[frame].animals == (1, 2, 3)
        np.testing.assert_array_equal(of_run[frame].values, expected)
        np.testing.assert_array_equal(labels_of(client.get(f"/api/masks/label/{frame}")), expected)
    assert other.read_bytes() == before


def test_labels_of_more_colours_than_animals_are_read_each_by_itself(client, task):
    for frame, blue in ((2, 0), (5, 120)):
        colours = [(200, 0, blue + 4 * i) for i in range(20)]
        write_coloured(task.label_path(frame), *((c, 4 * i) for i, c in enumerate(colours)))
    for frame in (2, 5):
        assert client.get(f"/api/masks/label/{frame}").status_code == 200


def test_one_animal_in_a_colour_stays_one_when_another_frame_is_labelled(client, task, dataset):
    write_coloured(task.label_path(2), (RED, 40))
    write_coloured(task.label_path(4))  # no label at all: it is passed over
    client.post("/api/labels/5", data=png(np.uint8(ellipse(5))))
    task.label_path(4).unlink()
    of_run = read_labels(open_dataset_sequence(dataset, "hen"), (2, 5))
    assert {label.animals for label in of_run.values()} == {(1,)}


def test_labels_that_number_their_animals_stay_as_they_are(client, task):
    labels = NOTHING.copy()
    labels[10:30, 10:30], labels[50:60, 40:90] = 2, 4
    write_label(task.label_path(2), labels, (2, 4))
    before = task.label_path(2).read_bytes()
    client.post("/api/labels/5", data=png(np.uint8(ellipse(5))))
    assert task.label_path(2).read_bytes() == before


def huge_png() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(buffer, format="PNG")
    return buffer.getvalue()


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.uint8(ellipse(1)) * 255).save(buffer, format="JPEG")
    return buffer.getvalue()


BAD_UPLOADS = {
    "nothing": (lambda: b"", 400),
    "no image": (lambda: b"hello" * 100, 400),
    "half an image": (lambda: png(np.uint8(ellipse(1)))[:150], 400),
    "jpeg": (jpeg, 400),
    "100 megapixels": (huge_png, 422),
    "another size": (lambda: png(np.uint8(ellipse(1))[:-1]), 422),
    "turned": (lambda: png(np.uint8(ellipse(1)).T), 422),
    "colours": (lambda: png(np.uint8(ellipse(1)), "RGB"), 422),
    "animal 33": (lambda: png(np.uint8(ellipse(1)) * 33), 422),
    "no animal": (lambda: png(NOTHING), 422),
    "no background": (lambda: png(NOTHING + 1), 422),
    "too many bytes": (lambda: bytes(9 * 2**20), 413),
}


@pytest.mark.parametrize("name", BAD_UPLOADS)
def test_a_bad_upload_is_refused_by_name_and_changes_nothing(client, task, name):
    make, status = BAD_UPLOADS[name]
    client.post("/api/labels/1", data=png(np.uint8(ellipse(1))))
    before = task.label_path(1).read_bytes()
    response = client.post("/api/labels/1", data=make())
    assert response.status_code == status
    assert len(response.get_json()["error"]) > 20
    assert task.label_path(1).read_bytes() == before
    assert len(list(task.label_path(1).parent.iterdir())) == 1


def test_a_full_disk_is_told_and_the_old_label_stays(client, task, monkeypatch):
    client.post("/api/labels/1", data=png(np.uint8(ellipse(1))))
    before, upload = task.label_path(1).read_bytes(), png(np.uint8(ellipse(2)))

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    response = client.post("/api/labels/1", data=upload)
    assert response.status_code == 507 and "disk is full" in response.get_json()["error"]
    assert task.label_path(1).read_bytes() == before


def test_a_label_that_is_saved_twice_at_once_is_always_whole(client, task):
    app, stop = client.application, threading.Event()

    def save(labels):
        other = app.test_client()
        other.get(f"/?token={TOKEN}")
        while not stop.is_set():
            assert other.post("/api/labels/1", data=labels).status_code == 200

    versions = [np.uint8(ellipse(1)), np.uint8(ellipse(7))]
    client.post("/api/labels/1", data=png(versions[0]))
    threads = [threading.Thread(target=save, args=(png(labels),)) for labels in versions]
    for thread in threads:
        thread.start()
    for _ in range(60):
        read = np.asarray(Image.open(task.label_path(1))) // 255
        assert any(np.array_equal(read, labels) for labels in versions)
    stop.set()
    for thread in threads:
        thread.join()
    assert len(list(task.label_path(1).parent.iterdir())) == 1


def test_a_label_can_be_deleted_and_nothing_else(client, task):
    client.post("/api/labels/1", data=png(np.uint8(ellipse(1))))
    (task.label_path(1).parent / "notes.txt").write_text("mine")
    assert client.delete("/api/labels/1").get_json()["labelled"] == []
    assert [path.name for path in task.label_path(1).parent.iterdir()] == ["notes.txt"]
    assert client.delete("/api/labels/1").status_code == 200
    assert client.delete("/api/labels/99").status_code == 404


def test_a_label_that_stage_3_finds_under_another_name_is_the_frames_label(client, task, dataset):
    other_name = paths.LABELS / "hen" / "6.png"
    write_label(other_name, ellipse(6))
    state = client.get("/api/labels").get_json()
    assert state["labelled"] == [6] and state["command"]
    np.testing.assert_array_equal(labels_of(client.get("/api/masks/label/6")), ellipse(6))
    answer = client.post("/api/labels/6", data=png(np.uint8(ellipse(5)))).get_json()
    assert answer["path"] == str(other_name)  # a second file for the frame would be refused
    assert open_dataset_sequence(dataset, "hen").labels == {6: other_name}
    assert client.delete("/api/labels/6").get_json()["labelled"] == []
    assert not list(other_name.parent.iterdir())


def test_when_each_label_was_written_is_told_as_text_that_loses_no_digit(client, task):
    answer = client.post("/api/labels/2", data=png(np.uint8(ellipse(2)))).get_json()
    assert answer["times"] == {"2": str(task.label_path(2).stat().st_mtime_ns)}
    os.utime(task.label_path(2), ns=(0, 10**18 + 1))  # by another program
    assert client.get("/api/labels").get_json()["times"] == {"2": "1000000000000000001"}


def test_a_file_among_the_labels_that_names_no_frame_is_named_in_the_error(client):
    write_label(paths.LABELS / "hen" / "notes.png", ellipse(1))
    response = client.get("/api/labels")
    assert response.status_code == 422 and "notes.png" in response.get_json()["error"]


def test_annotations_of_the_data_set_are_a_beginning_and_their_void_is_counted(dataset, tmp_path):
    folder = dataset / "Annotations" / "480p" / "hen"
    folder.mkdir(parents=True)
    grey = np.where(ellipse(2), np.uint8(255), np.uint8(0))
    grey[:5] = 128
    Image.fromarray(grey).save(folder / "00002.png")
    sequence = open_dataset_sequence(dataset, "hen")
    client = create_app(AnnotationTask(sequence, 0, "", ()), TOKEN).test_client()
    client.get(f"/?token={TOKEN}")
    assert client.get("/api/video").get_json()["annotated"] == [2]
    response = client.get("/api/masks/annotation/2")
    assert response.headers["X-Void-Px"] == str(5 * WIDTH)
    expected = ellipse(2) & (np.arange(HEIGHT)[:, None] >= 5)
    np.testing.assert_array_equal(labels_of(response), expected)
    assert client.get("/api/labels").get_json() == {"labelled": [], "drafts": [], "command": None}


def test_drafts_are_kept_with_what_was_drawn_by_hand_until_saved(client):
    draft = np.uint8(ellipse(1)) * 2
    draft[:4] |= BY_HAND
    assert client.post("/api/drafts/1", data=png(draft)).get_json()["drafts"] == [1]
    np.testing.assert_array_equal(labels_of(client.get("/api/masks/draft/1")), draft)
    assert client.post("/api/labels/1", data=png(np.uint8(ellipse(1)))).get_json()["drafts"] == []
    assert client.get("/api/masks/draft/1").status_code == 404
    assert client.post("/api/drafts/1", data=b"no image").status_code == 400
