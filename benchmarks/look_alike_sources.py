"""What the look-alike videos are made of: which animals, where, and how the second one crosses.

Not a benchmark itself; see look_alikes.py. Images and videos are named as below the folder of
`--dataset`. Sources are split into two halves, one to choose methods on, one to evaluate them once;
no animal and no scene is in both.
"""

from dataclasses import dataclass
from typing import Literal

CROSSINGS = ("comes_out", "in_front", "behind", "beside", "leaves")
Crossing = Literal[*CROSSINGS]
Half = Literal["choose", "evaluate"]
THIRD = "/3"  # after a crossing: only every third frame is kept


@dataclass(frozen=True)
class VideoSource:
    """A video with one animal; another moment of it is the second animal.

    Attributes:
        name: of the video in DAVIS/.
        half: what it is for.
        faces: 1 where the animal looks to the right, -1 to the left.
        crossings: a video is made for each.
        stage: the first and the last frame that may be shown.
        others: the first and the last frame from which the second animal may be taken: those that
            show all of it.
    """

    name: str
    half: Half
    faces: int
    crossings: tuple[str, ...]
    stage: tuple[int, int]
    others: tuple[int, int]


@dataclass(frozen=True)
class Individual:
    """An image with one animal: its folder and stem, and where the animal looks (1: right)."""

    image: str
    faces: int


@dataclass(frozen=True)
class ImageSource:
    """Animals of images that are made to move over the scene of another image.

    Attributes:
        name: of the videos.
        half: what it is for.
        labelled: the animal to label.
        scene: the image whose animals are painted over.
        crossings: a video is made for each.
        second: another individual; None is the labelled one in slightly other colours.
        bystander: whether a third animal stands apart.
        walks: whether its legs swing.
    """

    name: str
    half: Half
    labelled: Individual
    scene: str
    crossings: tuple[str, ...]
    second: Individual | None = None
    bystander: bool = False
    walks: bool = True


def _wild(number: str, faces: int) -> Individual:
    return Individual(f"instances/wild_{number}", faces)


def _cat(number: str, faces: int) -> Individual:
    return Individual(f"instances/cats_{number}", faces)


def _voc(number: str, faces: int) -> Individual:
    return Individual(f"voc_animals/vocanimal_{number}", faces)


RIGHT, LEFT = 1, -1
SOURCES: tuple[VideoSource | ImageSource, ...] = (
    VideoSource(
        "bear", "choose", LEFT,
        ("comes_out", "comes_out/3", "in_front", "behind/3", "beside", "leaves"), (0, 81), (0, 81),
    ),
    VideoSource(
        "mallard-water", "choose", RIGHT,
        ("comes_out", "in_front/3", "behind", "beside", "leaves/3"), (0, 79), (0, 79),
    ),
    VideoSource(
        "elephant", "evaluate", RIGHT,
        ("comes_out", "comes_out/3", "in_front/3", "behind", "beside/3", "leaves"),
        (0, 79), (0, 79),
    ),
    VideoSource(
        "mallard-fly", "evaluate", RIGHT,
        ("comes_out", "in_front", "behind", "leaves"), (0, 45), (0, 33),
    ),
    VideoSource("dog-agility", "evaluate", LEFT, ("behind", "leaves"), (0, 19), (0, 9)),
    ImageSource(
        "elephant-image", "choose", _wild("0226", LEFT), "instances/wild_0686",
        ("comes_out",), bystander=True,
    ),
    ImageSource("tiger-image", "choose", _wild("0378", LEFT), "instances/wild_0331", ("behind",)),
    ImageSource(
        "cat-striped", "choose", _cat("0451", RIGHT), "instances/cats_0513", ("comes_out/3",)
    ),
    ImageSource("cat-tricolour", "choose", _cat("0465", RIGHT), "instances/cats_0844", ("beside",)),
    ImageSource(
        "horse-image", "choose", _voc("2008_002993", LEFT), "voc_animals/vocanimal_2011_002730",
        ("in_front",),
    ),
    ImageSource(
        "cow-image", "choose", _voc("2010_004635", RIGHT), "voc_animals/vocanimal_2010_004598",
        ("leaves",), bystander=True,
    ),
    ImageSource(
        "turtle-image", "choose", _wild("0485", RIGHT), "instances/wild_0454",
        ("in_front/3",), second=_wild("0302", RIGHT), walks=False,
    ),
    ImageSource(
        "sheep-image", "choose", _voc("2008_005633", LEFT), "voc_animals/vocanimal_2010_000117",
        ("beside",), second=_voc("2008_005938", RIGHT), bystander=True,
    ),
    ImageSource("deer-image", "choose", _wild("0252", LEFT), "instances/wild_0325", ("behind/3",)),
    ImageSource(
        "polar-bear-image", "choose", _wild("0086", RIGHT), "voc_animals/vocanimal_2009_001124",
        ("leaves",),
    ),
    ImageSource(
        "elephant-grey", "evaluate", _wild("0138", RIGHT), "instances/wild_0251", ("in_front",)
    ),
    ImageSource(
        "tiger-low", "evaluate", _wild("0386", LEFT), "instances/cats_0759", ("comes_out",)
    ),
    ImageSource("cat-grey", "evaluate", _cat("0840", LEFT), "instances/cats_0871", ("behind/3",)),
    ImageSource("cat-red", "evaluate", _cat("0626", LEFT), "instances/cats_0085", ("in_front/3",)),
    ImageSource(
        "horse-brown", "evaluate", _voc("2009_004942", RIGHT), "voc_animals/vocanimal_2008_000009",
        ("behind",),
    ),
    ImageSource(
        "cow-brown", "evaluate", _voc("2011_001546", LEFT), "voc_animals/vocanimal_2009_002588",
        ("beside",), bystander=True,
    ),
    ImageSource(
        "turtle-green", "evaluate", _wild("0739", RIGHT), "instances/wild_0729",
        ("leaves/3",), bystander=True, walks=False,
    ),
    ImageSource(
        "sheep-white", "evaluate", _voc("2010_000002", LEFT), "voc_animals/vocanimal_2011_001020",
        ("comes_out/3",), bystander=True,
    ),
    ImageSource("deer-red", "evaluate", _wild("0411", LEFT), "instances/wild_0061", ("beside",)),
    ImageSource(
        "bear-black", "evaluate", _wild("0171", LEFT), "voc_animals/vocanimal_2007_003714",
        ("leaves",),
    ),
)  # fmt: skip
