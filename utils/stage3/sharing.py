"""How one network follows several labelled animals."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sharing:
    """How the animals that one network finds are told from each other, see
    `utils.stage3.joint_filter`. Not a part of a preset: it is in the key of runs with one network
    for several animals alone.

    Attributes:
        pixels: the window around N animals has N to this power times as many pixels as that around
            one, see `Window.pixels`.
        min_share_of_others: in a piece where an animal does not have most of itself, from which on
            the animal has no part in it.
        lost: share of its median area below which an animal is lost.
        patience: frames after an animal was last seen in which pixels still go to it by nearness,
            and in which whole frames are looked at; later it is found again only as a whole piece
            that no other animal needs.
        change: range to which a frame's area, relative to the median, is clipped before it counts.
        main: share of its median area that an animal has to have elsewhere, so that a piece of it
            may be a lost one.
        area: smallest and largest piece in which a lost one is found, relative to its median area.
        reach: share of the diagonal from where it was last seen to the piece's centre, at most.
        roaming: of a reach, by which it grows with each frame.
        followed: least share of their median areas that two animals have in all frames of a
            crossing, from which on they do not change places after it against what the flow says.
        common: share of an animal after a crossing below which the flow speaks against it.
        sliver: share of the area of an animal beside it below which so little of an animal is in
            sight that most of it may be hidden.
        not_free: share of a sliver's outline beside other animals or the frame's edge, above which
            these hide the rest of it.
    """

    pixels: float = 0.25
    min_share_of_others: float = 0.3
    lost: float = 0.1
    patience: int = 5
    change: tuple[float, float] = (0.5, 1.5)
    main: float = 0.5
    area: tuple[float, float] = (0.3, 2.0)
    reach: float = 0.25
    roaming: float = 0.1
    followed: float = 0.3
    common: float = 0.2
    sliver: float = 0.25
    not_free: float = 0.5
