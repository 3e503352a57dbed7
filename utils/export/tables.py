"""Tables of each animal's place and shape per frame: CSV and Parquet, points as DeepLabCut writes
them, and boxes as VIA does."""

import csv
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from utils.errors import InputError
from utils.evaluation.confidence import Confidence, consistency
from utils.evaluation.mask_tracks import COLUMNS, MaskTrack, compute_speed
from utils.evaluation.results import SegmentedVideo
from utils.evaluation.scale import Scale
from utils.export import CATEGORY, PROGRAM
from utils.files import write_atomically

CM_COLUMNS = (
    "centroid_x_cm",
    "centroid_y_cm",
    "area_cm2",
    "speed_cm_per_second",
    "cm_per_px",  # the height of a pixel
)
TABLE_HEADER = (
    "frame",  # counted from 0
    "file",  # the mask's name
    "time_seconds",  # from the video's time stamps; empty for a folder of frames
    "animal",  # its number in the label
    # True or False; where False, areas and the number of components are 0, and the other columns of
    # the shape are empty.
    "visible",
    *COLUMNS,  # utils/evaluation/mask_tracks.py
    "speed_px_per_second",  # of the centroid, since the frame before; empty where there is none
    *CM_COLUMNS,  # empty where no scale was drawn
    "consistency",  # 0..1, from the masks alone: utils/evaluation/confidence.py
    "confidence",  # 0..1, the network's own; empty where none was saved or a person corrected
    "labelled",  # whether a person labelled this frame
    "pixel_aspect",  # width of a pixel as shown over its height; shapes are in stored pixels
)
ALL_HEADER = ("video", *TABLE_HEADER)
VIA_HEADER = (
    "filename", "file_size", "file_attributes", "region_count", "region_id",
    "region_shape_attributes", "region_attributes",
)  # fmt: skip
_WHOLE_NUMBERS = (
    "area_px", "num_components", "largest_component_px", "box_x", "box_y", "box_width", "box_height"
)  # fmt: skip

Corrected = Mapping[int, Collection[int]]  # animal -> indices of frames
NOT_CORRECTED: Corrected = MappingProxyType({})


def export_table(
    path: Path,
    video: SegmentedVideo,
    tracks: dict[int, MaskTrack],
    times_seconds: Sequence[float] | None,
    confidence: Confidence | None,
    pixel_aspect: float | None = None,
    scale: Scale | None = None,
    *,
    corrected: Corrected = NOT_CORRECTED,
) -> None:
    """Writes a CSV file with a line per frame and animal, `TABLE_HEADER` on top.

    Args:
        path: the file to write.
        video: gives the names of the masks and the labelled frames.
        tracks: from `utils.evaluation.mask_tracks.follow_animals`.
        times_seconds: time of each frame; None leaves its column and that of the speed empty.
        confidence: the network's own; None leaves the column empty.
        pixel_aspect: of the video's pixels; None leaves the column empty.
        scale: how long a pixel is; None leaves the columns of `CM_COLUMNS` empty.
        corrected: frames whose mask is not the network's, so that it has no confidence.
    """
    consistencies = {animal: consistency(track) for animal, track in tracks.items()}
    speeds = {animal: compute_speed(track, times_seconds) for animal, track in tracks.items()}
    centimetres = {a: _in_centimetres(track, times_seconds, scale) for a, track in tracks.items()}
    labelled = set(video.labelled_frames)

    def rows() -> Iterator[list]:
        for frame, mask_path in enumerate(video.mask_paths):
            time = "" if times_seconds is None else f"{times_seconds[frame]:.6f}"
            for animal, track in tracks.items():
                shape = dict(zip(COLUMNS, track.shapes[frame], strict=True))
                yield [
                    video.first_frame + frame,
                    mask_path.name,
                    time,
                    animal,
                    bool(shape["area_px"] > 0),
                    *(_format_number(name, value) for name, value in shape.items()),
                    _format_number("speed_px_per_second", speeds[animal][frame]),
                    *("" if np.isnan(one) else f"{one:.6g}" for one in centimetres[animal][frame]),
                    f"{consistencies[animal][frame]:.4f}",
                    _format_confidence(confidence, corrected, animal, frame),
                    frame in labelled,
                    "" if pixel_aspect is None else f"{pixel_aspect:.4g}",
                ]

    _write_rows(path, [TABLE_HEADER], rows())


def _in_centimetres(
    track: MaskTrack, times_seconds: Sequence[float] | None, scale: Scale | None
) -> np.ndarray:
    """float64 (frames, len(CM_COLUMNS)), NaN where there is nothing."""
    if scale is None:
        return np.full((len(track.shapes), len(CM_COLUMNS)), np.nan)
    x, y, area = (track.column(name) for name in ("centroid_x", "centroid_y", "area_px"))
    columns = {
        "centroid_x_cm": x * scale.pixel_aspect * scale.cm_per_px,
        "centroid_y_cm": y * scale.cm_per_px,
        "area_cm2": area * scale.cm2_per_px,
        "speed_cm_per_second": scale.cm_per_px
        * compute_speed(track, times_seconds, scale.pixel_aspect),
        "cm_per_px": np.full(len(area), scale.cm_per_px),
    }
    return np.stack([columns[name] for name in CM_COLUMNS], axis=1)


def _format_confidence(
    confidence: Confidence | None, corrected: Corrected, animal: int, frame: int
) -> str:
    """The network's own of its own mask; empty where there is none."""
    if confidence is None or frame in corrected.get(animal, ()):
        return ""
    return f"{confidence.of(animal)[frame]:.4f}"


def _format_number(name: str, value: float) -> str:
    if np.isnan(value):
        return ""
    return str(int(value)) if name in _WHOLE_NUMBERS else f"{value:.3f}"


def export_deeplabcut(
    path: Path,
    tracks: dict[int, MaskTrack],
    confidence: Confidence | None,
    first_frame: int = 0,
    *,
    corrected: Corrected = NOT_CORRECTED,
) -> None:
    """Writes the centroids as DeepLabCut writes its points.

    The header rows are scorer, bodyparts and coords (with several animals, individuals after
    scorer); then follow x, y and likelihood per frame. The likelihood is the network's confidence
    where stage 3 saved it, else the masks' consistency; 1 where a person corrected the mask. Where
    the animal is not visible, it is 0, and x and y are empty.

    Args:
        path: the file to write.
        tracks: from `utils.evaluation.mask_tracks.follow_animals`; at least one.
        confidence: the network's own, None if there is none.
        first_frame: the number of the first frame.
        corrected: frames whose mask a person corrected.
    """
    animals = list(tracks)
    header = [["scorer", *[PROGRAM] * 3 * len(animals)]]
    if len(animals) > 1:
        header += [["individuals", *(f"{CATEGORY}{a}" for a in animals for _ in range(3))]]
    header += [["bodyparts", *["centroid"] * 3 * len(animals)]]
    header += [["coords", *["x", "y", "likelihood"] * len(animals)]]
    likelihood = {
        animal: (consistency(track) if confidence is None else confidence.of(animal)).copy()
        for animal, track in tracks.items()
    }
    for animal in likelihood.keys() & corrected.keys():
        likelihood[animal][list(corrected[animal])] = 1

    def rows() -> Iterator[list]:
        for frame in range(len(tracks[animals[0]].shapes)):
            row: list = [first_frame + frame]
            for animal, track in tracks.items():
                if track.column("area_px")[frame] > 0:
                    x, y = (track.column(name)[frame] for name in ("centroid_x", "centroid_y"))
                    row += [f"{x:.3f}", f"{y:.3f}", f"{likelihood[animal][frame]:.4f}"]
                else:
                    row += ["", "", "0.0"]
            yield row

    _write_rows(path, header, rows())


def export_via_tracks(
    path: Path,
    file_names: Sequence[str],
    tracks: dict[int, MaskTrack],
    confidence: Confidence | None,
    first_frame: int = 0,
    *,
    corrected: Corrected = NOT_CORRECTED,
) -> None:
    """Writes the bounding boxes as VIA writes its tracks: a line per frame and animal in it.

    Args:
        path: the file to write.
        file_names: of the images, one per frame.
        tracks: from `utils.evaluation.mask_tracks.follow_animals`.
        confidence: the network's own; None leaves it out.
        first_frame: the number of the first frame.
        corrected: frames whose mask is not the network's; it is left out there.
    """

    def rows() -> Iterator[list]:
        for frame, file_name in enumerate(file_names):
            seen = [a for a, track in tracks.items() if track.column("area_px")[frame] > 0]
            for place, animal in enumerate(seen):
                box = {
                    side: int(tracks[animal].column(f"box_{side}")[frame])
                    for side in ("x", "y", "width", "height")
                }
                region = {"track": str(animal)}
                confidence_text = _format_confidence(confidence, corrected, animal, frame)
                if confidence_text:
                    region["confidence"] = confidence_text
                yield [
                    file_name,
                    -1,  # VIA's own "not known" for the size of the file
                    json.dumps({"frame": first_frame + frame}),
                    len(seen),
                    place,
                    json.dumps({"name": "rect", **box}),
                    json.dumps(region),
                ]

    _write_rows(path, [VIA_HEADER], rows())


def join_tables(path: Path, tables: Mapping[str, Path]) -> int:
    """Writes the tables of many videos as one, with the video's name in the first column.

    Args:
        path: the file to write.
        tables: name of a video -> its table, written by `export_table`.

    Returns: the number of its lines, without the header.
    """
    count = 0

    def rows() -> Iterator[list]:
        nonlocal count
        for name, table in tables.items():
            with table.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
                reader = csv.reader(file)
                next(reader)
                for row in reader:
                    count += 1
                    yield [name, *row]

    _write_rows(path, [ALL_HEADER], rows())
    return count


def write_parquet(path: Path, table: Path) -> bool:
    """Writes a table of `join_tables` as a Parquet file, in pieces, so that memory does not grow.

    Returns: whether it was written; it is not where pyarrow is not installed.

    Raises:
        InputError: if Parquet cannot hold it, as a name that is not UTF-8.
    """
    try:
        import pyarrow
        from pyarrow import csv as arrow_csv
        from pyarrow import parquet
    except ImportError:
        return False
    kinds = {"frame": pyarrow.int32(), "animal": pyarrow.int32()}
    kinds |= dict.fromkeys(("video", "file"), pyarrow.dictionary(pyarrow.int32(), pyarrow.string()))
    kinds |= dict.fromkeys(("visible", "labelled"), pyarrow.bool_())
    kinds |= {name: pyarrow.float64() for name in ALL_HEADER if name not in kinds}
    options = {
        "convert_options": arrow_csv.ConvertOptions(column_types=kinds, null_values=[""]),
        "parse_options": arrow_csv.ParseOptions(newlines_in_values=True),  # in a video's name
    }

    def write(temporary_path: Path) -> None:
        with arrow_csv.open_csv(table, **options) as reader:
            with parquet.ParquetWriter(temporary_path, reader.schema) as writer:
                for batch in reader:
                    writer.write_batch(batch)

    try:
        write_atomically(path, write)
    except pyarrow.ArrowInvalid as error:
        raise InputError(
            f"{path}: expected names of videos and frames in UTF-8, found {error}; the tables in "
            "CSV are complete. Rename the video, and segment it again."
        ) from error
    return True


def _write_rows(path: Path, header: Iterable[Sequence], rows: Iterable[Sequence]) -> None:
    def write(temporary_path: Path) -> None:
        # A name need not be UTF-8.
        options = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
        with temporary_path.open("w", **options) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows(header)
            writer.writerows(rows)

    write_atomically(path, write)
