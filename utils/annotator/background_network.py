"""A network that is loaded while the page is in use: Keras and the weights take seconds."""

import threading
from collections.abc import Callable, Collection
from typing import Protocol

import numpy as np

from utils.annotator.click_marks import Marks
from utils.errors import one_line
from utils.stage3.animal_grouping import InstanceMaps


class Segmenter(Protocol):
    """Answers clicks and finds animals; see `utils.annotator.segment_click.ClickSegmenter`."""

    knows_animals: bool  # whether `follow` tells one animal from another

    def segment(self, frame: int, image: np.ndarray, marks: Marks) -> np.ndarray: ...

    def look(self, frame: int, image: np.ndarray) -> np.ndarray: ...

    def prepare_look_apart(self) -> None: ...

    def look_apart(self, frame: int, image: np.ndarray) -> InstanceMaps | None: ...

    def follow(
        self,
        frame: int,
        image: np.ndarray,
        labels: np.ndarray,
        animals: Collection[int] | None = None,
        one_window: bool = False,
    ) -> np.ndarray: ...


class BackgroundNetwork:
    """Loads a network in a thread. Threads may share an instance.

    Args:
        load: returns what answers clicks with the network, or raises. It is called once; where it
            fails, the reason is kept and there never is a segmenter.

    Attributes:
        turn: held by whoever asks the segmenter: one at a time, since each uses all cores.
    """

    def __init__(self, load: Callable[[], Segmenter]) -> None:
        self._load = load
        self.turn = threading.Lock()
        self._segmenter: Segmenter | None = None
        self._reason: str | None = None
        self._is_done = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins to load; from the second call on, does nothing."""
        with self._lock:
            if self._thread is None:
                # Not a daemon: the process crashes if native code is cut off while it starts.
                self._thread = threading.Thread(target=self._run)
                self._thread.start()

    def wait(self) -> Segmenter | None:
        """Waits until the network is loaded. Returns: what answers clicks; None if it failed."""
        self.start()
        self._is_done.wait()
        return self._segmenter

    def status(self) -> dict[str, str | None]:
        """For JSON: state (loading, ready, failed), and what went wrong."""
        state = "ready" if self._segmenter else "failed" if self._reason else "loading"
        return {"state": state, "reason": self._reason}

    def _run(self) -> None:
        try:
            self._segmenter = self._load()
        except Exception as error:  # whatever a backend raises: labels can be made without it
            self._reason = one_line(error)
            print(f"Clicks use colours only: {self._reason}", flush=True)
        finally:
            self._is_done.set()
