"""Frames of one video for the page: decoded when asked for; only the last few are kept."""

import threading
from collections import OrderedDict

import cv2
import numpy as np

from utils.errors import InputError
from utils.media.images import resize_image, scaled_size
from utils.media.videos import Video

FRAMES_KEPT = 3
MAX_THUMBNAIL_BYTES = 64 * 2**20
THUMBNAIL_BOX_PX = (160, 90)


class BoundedStore:
    """Bytes by number; the oldest are dropped when there are too many. Threads may share one.

    Args:
        max_bytes: in all; the newest entry is kept even if it alone is larger.
    """

    def __init__(self, max_bytes: int):
        self.max_bytes = max_bytes
        self._data: OrderedDict[int, bytes] = OrderedDict()
        self._num_bytes = 0
        self._lock = threading.Lock()

    def get(self, number: int) -> bytes | None:
        return self._data.get(number)

    def put(self, number: int, data: bytes) -> None:
        with self._lock:
            self._num_bytes += len(data) - len(self._data.pop(number, b""))
            self._data[number] = data
            while self._num_bytes > self.max_bytes and len(self._data) > 1:
                self._num_bytes -= len(self._data.popitem(last=False)[1])

    def remove(self, number: int) -> None:
        with self._lock:
            self._num_bytes -= len(self._data.pop(number, b""))

    def numbers(self) -> list[int]:
        with self._lock:
            return sorted(self._data)


class FrameReader:
    """Frames as arrays, thumbnails as JPEG. Threads may share one."""

    def __init__(self, video: Video):
        self.video = video
        # A decoder of its own: a strip of thumbnails must not hold up the frame that is asked for.
        self._thumbnail_video = type(video)(video.path, video.name)
        self._frames: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()
        self._thumbnails = BoundedStore(MAX_THUMBNAIL_BYTES)
        self._thumbnail_lock = threading.Lock()

    def read(self, index: int) -> np.ndarray:
        """Reads a frame.

        Args:
            index: of the frame.

        Returns: uint8 (height, width, 3) RGB.

        Raises:
            IndexError: if there is no such frame.
            InputError: if it is damaged or of another size than the first one.
        """
        with self._lock:
            if index not in self._frames:
                self._frames[index] = self._decode(self.video, index)
            self._frames.move_to_end(index)
            while len(self._frames) > FRAMES_KEPT:
                self._frames.popitem(last=False)
            return self._frames[index]

    def thumbnail(self, index: int) -> bytes:
        """Reads a frame as a JPEG that fits THUMBNAIL_BOX_PX. Raises: as `read`."""
        data = self._thumbnails.get(index)
        if data is None:
            with self._thumbnail_lock:
                image = self._decode(self._thumbnail_video, index)
            data = encode_jpeg(image, THUMBNAIL_BOX_PX, quality=80)
            self._thumbnails.put(index, data)
        return data

    def _decode(self, video: Video, index: int) -> np.ndarray:
        image = video.read(index)
        if image.shape[:2] != (self.video.height, self.video.width):
            raise InputError(
                f"{video.path}, frame {index}: expected {self.video.width}x{self.video.height} as "
                f"the first frame, found {image.shape[1]}x{image.shape[0]}; extract the frames of "
                "one video again."
            )
        return image


def encode_jpeg(image: np.ndarray, box_px: tuple[int, int] | None, quality: int) -> bytes:
    """Encodes an image.

    Args:
        image: uint8 (height, width, 3) RGB.
        box_px: width and height that the image is shrunk to fit; None leaves it as it is.
        quality: of the JPEG, 0..100.

    Returns: the bytes of a JPEG file.
    """
    height, width = image.shape[:2]
    scale = min(1.0, box_px[0] / width, box_px[1] / height) if box_px else 1.0
    image = resize_image(image, *scaled_size(height, width, scale))
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
