"""Labels a frame in the browser: a click or a box gives a mask, further clicks and a brush mend it.

The page opens on the frame that bubblenet_select.py chose, else on the middle one; any other is an
arrow key away. It saves the label where finetune_test.py reads it, says the next command, runs it
if asked to, and takes corrections of its result as further labels. With no argument: the first
video without a label of datasets/finetune_test_dataset, else of the bundled sample.

Reads   --video or DIR/JPEGImages/480p/SEQ; DIR/bubbleNet_data/rawData/SEQ/frame_selection;
        weights/pascal_base_train_weights/deeplab.safetensors, to find the animal at a click;
        results/segmentation/SEQ for corrections.

Writes  datasets/labels/SEQ/STEM.png, 0/255 for one animal, DAVIS palette for several.

The server answers this computer only, and only the address that it prints. Ctrl-C ends it, and
a run that it started.
"""

import secrets
import signal
import threading
import webbrowser
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils import paths
from utils.annotator.background_network import BackgroundNetwork
from utils.annotator.segment_click import work_size
from utils.annotator.server import HOST, create_app, open_server, serve
from utils.annotator.task import AnnotationTask
from utils.command_line import run_script, setting
from utils.errors import UsageError
from utils.frame_choice.selection_files import read_selection
from utils.inputs.guidance import TRUSTED
from utils.inputs.sequences import VideoSequence, find_sequences
from utils.media.videos import VideoFile


@dataclass(frozen=True)
class Config:
    video: Path | None = setting(None, "a video file or a folder of frames")
    dataset: Path | None = setting(None, "folder with JPEGImages/, in place of a video")
    sequence: str | None = setting(None, "one of its videos; the first without label if absent")
    port: int = setting(0, "of the page's address; a free one if 0")
    no_browser: bool = setting(False, "print the address, do not open it")


def main(config: Config) -> None:
    if not 0 <= config.port <= 65535:
        raise UsageError(f"--port must be 0 to 65535, not {config.port}.")
    task = open_task(config)
    with closing(task.video):
        token = secrets.token_urlsafe(32)
        network = BackgroundNetwork(lambda: load_network(task.video.height, task.video.width))
        app = create_app(task, token, network)
        server = open_server(app, config.port)
        address = f"http://{HOST}:{server.server_port}/?token={token}"
        print(f"{task.sequence.name}: frame {task.first_frame} ({task.first_reason})")
        print(f"Label it here: {address}")
        print("Ctrl-C ends.", flush=True)
        if not config.no_browser:  # in a thread: a browser of the terminal would keep us waiting
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        for ending in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore the first
            signal.signal(ending, signal.default_int_handler)
        serve(server, app.extensions["run"])
    labelled = task.labelled_frames()
    if labelled:
        print(f"\n{len(labelled)} labelled. Next: {task.next_command()}")


def open_task(config: Config) -> AnnotationTask:
    """The video to label and the frame to begin with. Raises: InputError, UsageError."""
    names = (config.sequence,) if config.sequence else ()
    videos = (config.video,) if config.video else ()
    dataset, openers = find_sequences(config.dataset, names, videos, (), "auto")
    if config.video and len(openers) > 1:
        raise UsageError(
            f"--video must be one video, {config.video} holds {len(openers)}: "
            f"{', '.join(list(openers)[:10])}. Name the file."
        )
    name = choose_name(list(openers))
    if len(openers) > 1:
        print(f"{len(openers)} videos in {dataset}, this is {name}; others: --sequence NAME")
    sequence = openers[name]()
    if isinstance(sequence.video, VideoFile):
        sequence.video.check()  # quick; a folder's frames are checked when stage 3 begins
    first_frame, reason = choose_first_frame(sequence, dataset)
    flags = ("--video", str(config.video))
    if not config.video:
        place = dataset.relative_to(Path.cwd()) if dataset.is_relative_to(Path.cwd()) else dataset
        flags = ("--dataset", str(place), "--sequences", name)
    return AnnotationTask(sequence, first_frame, reason, flags)


def choose_name(names: list[str]) -> str:
    """The first video without a label of ours, else the first."""
    unlabelled = (name for name in names if not any((paths.LABELS / name).glob("*.png")))
    return next(unlabelled, names[0])


def choose_first_frame(sequence: VideoSequence, dataset: Path) -> tuple[int, str]:
    """The frame that a selection file names, else the middle one; and why. Raises: InputError."""
    folder = paths.frame_selection_dir(dataset, sequence.name)
    for selection in TRUSTED:
        frames = read_selection(folder, selection, sequence.video.frame_names)
        if frames:
            return frames[0], f"suggested by bubblenet_select.py, {selection}"
    return len(sequence.video) // 2, "the middle one"


def load_network(height: int, width: int) -> Callable[[np.ndarray], np.ndarray]:
    """The network that finds animals for clicks in frames of a size.

    Returns: uint8 (h, w, 3) RGB -> float32 (h, w), probability 0..1.

    Raises: InputError if its weights are missing or damaged.
    """
    from utils import backend  # here: the page is not to wait for Keras

    # isort: split
    from models import build_model
    from utils.stage3.inference import predict_probability
    from utils.training.weights import load_weights

    # Of stage 1, not 2, which has learnt what moves: after the first click on frames of the sample,
    # IoU was 0.96 with the one, 0.83 with the other (on photographs 0.90 with both).
    path = paths.PASCAL_BASE_WEIGHTS / "deeplab.safetensors"
    model = build_model("deeplab")
    load_weights(model, path)
    model.compile(jit_compile=backend.jit_compile())

    def predict(image: np.ndarray) -> np.ndarray:
        return predict_probability(model, image, flip=False)

    predict(np.zeros((*work_size(height, width), 3), np.uint8))  # the first one takes seconds
    print(f"Clicks use {path}.", flush=True)
    return predict


if __name__ == "__main__":
    run_script(main, Config, __doc__)
