"""A network that is loaded while the page is in use: Keras and the weights take seconds."""

import threading
from collections.abc import Callable

import numpy as np

from utils.errors import one_line

# uint8 (h, w, 3) RGB -> float32 (h, w), probability 0..1.
Predict = Callable[[np.ndarray], np.ndarray]


class BackgroundNetwork:
    """Loads a network in a thread. Threads may share an instance.

    Args:
        load: returns the network, or raises. It is called once; where it fails, the reason is kept
            and `predict` never has an answer.
    """

    def __init__(self, load: Callable[[], Predict]) -> None:
        self._load = load
        self._predict: Predict | None = None
        self._reason: str | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins to load; from the second call on, does nothing."""
        with self._lock:
            if self._thread is None:
                # Not a daemon: the process crashes if native code is cut off while it starts.
                self._thread = threading.Thread(target=self._run)
                self._thread.start()

    def predict(self, image: np.ndarray) -> np.ndarray | None:
        """Asks the network for the animals in an image.

        Args:
            image: uint8 (h, w, 3) RGB.

        Returns: float32 (h, w), probability 0..1; None as long as there is no network.
        """
        return None if self._predict is None else self._predict(image)

    def status(self) -> dict[str, str | None]:
        """For JSON: state (loading, ready, failed), and what went wrong."""
        state = "ready" if self._predict else "failed" if self._reason else "loading"
        return {"state": state, "reason": self._reason}

    def _run(self) -> None:
        try:
            self._predict = self._load()
        except Exception as error:  # whatever a backend raises: labels can be made without it
            self._reason = one_line(error)
            print(f"Clicks use colours only: {self._reason}", flush=True)
