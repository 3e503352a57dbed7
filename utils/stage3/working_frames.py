"""A video's frames at the size at which the network sees them, each decoded as few times as
possible."""

import threading
from collections import OrderedDict

import numpy as np

from utils.media.images import resize_image
from utils.media.videos import Video
from utils.stage3.motion import to_grey
from utils.stage3.partial_run import PartialRun

CACHE_BYTES = 192 * 2**20
BLOCK_FRAMES = 32  # decoded in one go where a video is walked through backward


class WorkingFrames:
    """Reads resized frames, and keeps recent ones in memory.

    A video file decodes forward from a keyframe. Walking backward, frame by frame, would decode
    most frames again and again; so the frame before the ones in memory comes with those that
    precede it. Threads may share it.

    Args:
        video: the frames.
        size: height and width of what is read.
        partial: where grey frames are kept for the optical flow.
        grey_size: height and width of grey frames; default: `size`.
    """

    def __init__(
        self,
        video: Video,
        size: tuple[int, int],
        partial: PartialRun,
        grey_size: tuple[int, int] | None = None,
    ):
        self.video = video
        self.size = size
        self.grey_size = grey_size or size
        self.partial = partial
        self._lock = threading.Lock()  # of what is in memory
        self._decoding = threading.Lock()  # one thread at a time walks through the video
        self._cache: OrderedDict[int, np.ndarray] = OrderedDict()
        self._capacity = max(2, CACHE_BYTES // (3 * size[0] * size[1]))

    def __len__(self) -> int:
        return len(self.video)

    def read(self, index: int) -> np.ndarray:
        """Frame `index` as uint8 (height, width, 3), RGB."""
        image = self._find(index)
        if image is not None:
            return image
        with self._decoding:
            image = self._find(index)  # another thread may just have read it
            if image is None:
                walks_backward = index + 1 in self._cache and index - 1 not in self._cache
                ahead = min(BLOCK_FRAMES, self._capacity) - 1 if walks_backward else 0
                for number in range(max(0, index - ahead), index + 1):
                    if number not in self._cache:
                        image = resize_image(self.video.read(number), *self.size)
                        self._keep(number, image)
            return image

    def grey(self, index: int) -> np.ndarray:
        """Frame `index` as uint8 (height, width), as it is on disk: a run that is continued
        computes the optical flow from the very same grey levels."""
        grey = self.partial.grey(index)
        if grey is None:
            image = resize_image(self.read(index), *self.grey_size)
            self.partial.write_grey(index, to_grey(image))
            grey = self.partial.grey(index)
        return grey

    def _find(self, index: int) -> np.ndarray | None:
        """A frame in memory, which was needed just now; None if it is not there."""
        with self._lock:
            if index in self._cache:
                self._cache.move_to_end(index)
            return self._cache.get(index)

    def _keep(self, index: int, image: np.ndarray) -> None:
        with self._lock:
            self._cache[index] = image
            while len(self._cache) > self._capacity:
                self._cache.popitem(last=False)
