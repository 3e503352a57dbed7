"""Labels a frame in the browser: a click or a box gives a mask, more clicks and a brush refine it.

The page opens on the frame that bubblenet_select.py chose, otherwise on the middle one; the arrow
keys lead to any other. It proposes a mask of each animal, which one key accepts. It saves the label
where finetune_test.py reads it, shows the next command and runs it on request. Mistakes of the
result are corrected without training, or become further labels. Without arguments it takes the
first video without a label of datasets/finetune_test_dataset, or of the bundled sample.

Reads   --video or DIR/JPEGImages/480p/SEQ; DIR/bubbleNet_data/rawData/SEQ/frame_selection;
        weights/prompted_weights/deeplab.safetensors, or if it is not there that of stage 1 in
        weights/pascal_base_train_weights, to find animals and what is clicked; if it is there,
        weights/prompted_weights/instances.safetensors, to tell animals of a group apart;
        results/segmentation/SEQ for corrections.

Writes  datasets/labels/SEQ/STEM.png, 0/255 for one animal, DAVIS palette for several;
        results/runs/SEQ/corrections.json, and the masks, the overlay and the exports it changes.

The server answers this computer only, and only those who know the address that it prints. Ctrl-C
ends it, and a run that it started; what follows from corrections is written before.
"""

import secrets
import signal
import threading
import webbrowser
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from utils import paths
from utils.annotator.access import HOST, redirect_file
from utils.annotator.background_network import BackgroundNetwork
from utils.annotator.click_network import load_segmenter
from utils.annotator.server import create_app, open_server, serve
from utils.annotator.task import AnnotationTask
from utils.command_line import flag_words, run_script, setting, shown_words
from utils.errors import UsageError
from utils.frame_choice.selection_files import is_outdated, read_selection
from utils.inputs.guidance import SELECTION_PREFERENCE
from utils.inputs.sequences import VideoSequence, find_sequences

MAX_CHECKED_FRAMES = 1000  # of a longer video, only the ends are decoded before the page opens


@dataclass(frozen=True)
class Config:
    video: Path | None = setting(None, "a video file or a folder of frames")
    name: str | None = setting(
        None, "name of the video's labels, where another video's file has the same name"
    )
    dataset: Path | None = setting(None, "a folder with JPEGImages/, instead of a video")
    sequence: str | None = setting(None, "one of its videos; if absent, the first without a label")
    results: Path = setting(paths.RESULTS, "results folder: to review and correct, and for Run")
    port: int = setting(0, "port of the web page (0: any free port)")
    no_browser: bool = setting(False, "print the address of the page without opening it")


def main(config: Config) -> None:
    if not 0 <= config.port <= 65535:
        raise UsageError(f"--port must be 0 to 65535, not {config.port}.")
    task = open_task(config)
    network = BackgroundNetwork(
        lambda: load_segmenter(task.first_frame, task.video.read(task.first_frame))
    )
    network.start()  # at once: meanwhile the frames are checked and the browser starts
    check_frames(task.sequence)
    for ending in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore the first
        signal.signal(ending, signal.default_int_handler)
    with ExitStack() as stack:
        stack.enter_context(closing(task.video))
        token = secrets.token_urlsafe(32)
        app = create_app(task, token, network)
        server = open_server(app, config.port)
        port = server.server_port
        address = f"http://{HOST}:{port}/?token={token}"
        print(f"{task.sequence.name}: frame {task.first_frame} ({task.first_reason})")
        if config.no_browser:
            print(f"Open this address in a browser: {address}")
        else:
            print(f"The page opens in the browser. If it does not, open this address: {address}")
            open_in_browser(stack.enter_context(redirect_file(address)))
        print("Ctrl-C ends.", flush=True)
        serve(server, app.extensions["run"], app.extensions["corrector"])
    unsaved = app.extensions["drafts"].numbers()
    if unsaved:
        print(
            f"\nwarning: changed in the page and not saved: frame {', '.join(map(str, unsaved))}."
        )
        flags = flag_words("--port", str(port))
        if not config.video and not config.sequence:  # it may open another video next time
            flags += flag_words("--sequence", task.sequence.name)
        print(
            f"To save it, leave the page open, run the same command with {shown_words(flags)}, "
            "open its new address as well, and save in the old page."
        )
    labelled = task.labelled_frames()
    if labelled:
        print(f"\nLabelled frames: {len(labelled)}. Next: {task.next_command()}")


def open_in_browser(page: Path) -> None:
    """Opens a file without waiting: a browser in the terminal would keep this process waiting."""
    threading.Thread(target=webbrowser.open, args=(page.as_uri(),), daemon=True).start()


def open_task(config: Config) -> AnnotationTask:
    """The video to label and the frame to begin with. Raises: InputError, UsageError."""
    names = (config.sequence,) if config.sequence else ()
    videos = (config.video,) if config.video else ()
    dataset, open_by_name = find_sequences(config.dataset, names, videos, (), "auto", config.name)
    if config.video and len(open_by_name) > 1:
        raise UsageError(
            f"--video must be one video, {config.video} holds {len(open_by_name)}: "
            f"{', '.join(list(open_by_name)[:10])}. Name the file."
        )
    name = choose_name(list(open_by_name))
    if len(open_by_name) > 1:
        print(f"{len(open_by_name)} videos in {dataset}, this is {name}; others: --sequence NAME")
    sequence = open_by_name[name]()
    first_frame, reason = choose_first_frame(sequence, dataset)
    if config.video:
        flags = flag_words("--video", config.video)
        flags += flag_words("--name", config.name) if config.name else []
    else:
        place = dataset.relative_to(Path.cwd()) if dataset.is_relative_to(Path.cwd()) else dataset
        flags = [*flag_words("--dataset", place), *flag_words("--sequences", name)]
    return AnnotationTask(sequence, first_frame, reason, tuple(flags), config.results)


def check_frames(sequence: VideoSequence) -> None:
    """Prints what is unusual about the frames. Raises: InputError if they are damaged."""
    every_frame = len(sequence.video) <= MAX_CHECKED_FRAMES
    for warning in sequence.video.check(every_frame=every_frame):
        print(f"warning: {warning}", flush=True)
    if not every_frame:
        print(
            f"{sequence.name}: of {len(sequence.video)} frames, only the first and the last ones "
            "were checked; finetune_test.py --dry-run checks all."
        )


def choose_name(names: list[str]) -> str:
    """The first video that has no label in datasets/labels, or else the first one."""
    unlabelled = (name for name in names if not any((paths.LABELS / name).glob("*.png")))
    return next(unlabelled, names[0])


def choose_first_frame(sequence: VideoSequence, dataset: Path) -> tuple[int, str]:
    """The frame that the page opens on: the selected one, otherwise the middle one.

    Returns: its index, and in words why that one.

    Raises: InputError for a broken selection file.
    """
    middle = len(sequence.video) // 2
    folder = paths.frame_selection_dir(dataset, sequence.name)
    # First: of a longer video of this name, a selection has frames that this one lacks.
    if folder.is_dir() and is_outdated(folder, sequence.video.sha256()):
        return middle, "the middle one, since the selected one was chosen for other frames"
    for selection in SELECTION_PREFERENCE:
        frames = read_selection(folder, selection, sequence.video.frame_names)
        if frames:
            return frames[0], f"suggested by bubblenet_select.py ({selection})"
    return middle, "the middle one"


if __name__ == "__main__":
    run_script(main, Config, __doc__)
