"""How the frames of a video file are turned and mirrored before they are shown."""

import av
import numpy as np

# By FFmpeg's angle, in degrees: the display matrix, row by row.
_TURNED_BY = {
    -90: (0, 1, 0, -1, 0, 0, 0, 0, 1),
    90: (0, -1, 0, 1, 0, 0, 0, 0, 1),
    180: (-1, 0, 0, 0, -1, 0, 0, 0, 1),
}


def display_matrix(frame: av.VideoFrame) -> np.ndarray | None:
    """Reads how a decoded frame is to be turned.

    Returns: int32 (9,), see `turn_upright`; None if it is stored upright.
    """
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # PyAV lists no side data of a frame that has a kind unknown to it, such as the EXIF data
        # that cameras write into each picture of an MJPEG. It still knows the angle.
        angle = round(frame.rotation / 90) * 90
        turned = _TURNED_BY.get(180 if angle == -180 else angle)
        return None if turned is None else np.array(turned, np.int32)
    return None if matrix is None else np.frombuffer(bytes(matrix), np.int32)


def turn_upright(image: np.ndarray, display_matrix: np.ndarray | None) -> np.ndarray:
    """Turns and mirrors a decoded frame as its container tells players to.

    Args:
        image: (H, W) or (H, W, C), any dtype.
        display_matrix: int32 (9,), FFmpeg's display matrix, or None. A row vector (x, y) in the
            coded frame times the upper left 2x2 part is the position in the shown frame.

    Returns: a view of `image`. Other angles are rounded to the nearest quarter turn.
    """
    if display_matrix is None:
        return image
    x_to_x, x_to_y, _, y_to_x, y_to_y = (int(value) for value in display_matrix[:5])
    if abs(x_to_y) > abs(x_to_x):
        image = image.swapaxes(0, 1)
        x_to_x, y_to_y = y_to_x, x_to_y
    if x_to_x < 0:
        image = image[:, ::-1]
    return image[::-1] if y_to_y < 0 else image
