"""From probabilities to masks: threshold, and what does not continue the animal through time is
dropped.

A network that has seen one frame finds animal-like spots elsewhere in others, and whole animals of
the same kind. Going out from the labelled frame, a region is kept only where it lies near the
animal's mask in the frame before. What is not the animal is followed as well, along the optical
flow: regions that were not kept, and the background of the label for as long as the flow can be
trusted. So another animal stays another one when it comes near, and where both have grown into one
region each pixel goes to the nearer.

What was hidden of an animal may come out again where it would otherwise be dropped; see
`utils.stage3.hidden_parts`.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from utils.media.labels import VOID
from utils.media.regions import distance_to
from utils.stage3.hidden_parts import HiddenParts
from utils.stage3.motion import MIN_RELIABLE, Motion, reliable_share, warp_mask
from utils.stage3.settings import Refinement

EDGE_PX = 3  # what is seen so near to the frame's edge may come from outside
MIN_COUNTED_PROBABILITY = 0.1  # outside of a mask, see `mask_confidence`
# Mean confidence: .50 to .72 where pigs in a pen are confused, .87 and more on single animals.
DOUBTFUL = 0.8


class TemporalFilter:
    """Keeps the regions that continue an animal; call it frame by frame, going away from a label.

    Args:
        refinement: see `Refinement`.
        label: (H, W), 0 background, 1..254 animals, 255 void: the frame to start from.
        animal: number of the animal to follow.

    Attributes:
        found: bool (H, W), all that was above the threshold in the last frame.
        last_mask, last_others: bool (H, W), the animal when it was last seen, and what is something
            else.
        known_others: bool (H, W), what was something else in any frame since the flow has been
            reliable, found in the last one or not.
        tells_apart: whether the network is known to tell the animal from others like it, see
            `utils.stage3.company_filter`.
    """

    tells_apart = False

    def __init__(self, refinement: Refinement, label: np.ndarray, animal: int = 1):
        self.refinement = refinement
        self.last_mask = label == animal
        self.last_others = ~np.isin(label, (0, animal, VOID))
        self.found = self.last_mask
        self.known_background = ~np.isin(label, (animal, VOID))
        self.known_others = self.last_others
        self.frames_since = 0
        self._hidden = HiddenParts(refinement.patience, self.last_mask)

    def __call__(
        self,
        probability: np.ndarray,
        motion: Motion | None = None,
        distance_frames: int = 1,
        kind: np.ndarray | None = None,
    ) -> np.ndarray:
        """The animal in the next frame.

        Args:
            probability: (H, W), uint8 0..255 or float 0..1.
            motion: from this frame to that of the call before (of the label at first); None:
                nothing is known of it.
            distance_frames: how many frames of the video that frame is away; the animal may have
                moved so many times as far.
            kind: uint8 (H, W), 0..255, of another network, whose findings count as well.

        Returns: bool (H, W).
        """
        scale = 255 if probability.dtype == np.uint8 else 1
        found = probability > self.refinement.threshold * scale
        if kind is not None:
            found = found | (kind > self.refinement.threshold * 255)
        mask = self.found = found
        others = np.zeros_like(found)
        self.known_background = move_background(
            self.known_background, found, motion, self.refinement.min_reliable
        )
        if self.refinement.radius and self.last_mask.any():
            diagonal = np.hypot(*mask.shape)
            # An animal that was out of sight may have kept moving in the meantime.
            radius = self.refinement.radius * diagonal * (distance_frames + self.frames_since)
            animal = carry(self.last_mask, motion)
            to_animal = distance_to(animal)
            self._hidden.move(motion)
            limbs = self._hidden.limbs
            beyond = distance_to(animal & ~limbs) if limbs.any() else to_animal
            far = beyond > self.refinement.margin * diagonal
            known = self.known_background & (far | limbs | self._hidden.in_doubt)
            others = warp_mask(self.last_others, motion)
            entrance_counts = self.refinement.entrance and not self.frames_since
            # Where hardly any flow is reliable, what enters may be the animal.
            if entrance_counts and reliable_share(motion, animal) >= MIN_RELIABLE:
                others |= found & far_at_the_edge(animal, self.refinement.entrance * diagonal)
            self.known_others = move_background(
                self.known_others, found, motion, self.refinement.min_reliable
            )
            in_background = found & known
            returned, in_doubt = self._hidden.look(
                found, in_background, animal, to_animal, others | self.known_others, 2 * radius
            )
            others |= in_background & ~returned & ~in_doubt
            mask, others = sort_regions(found & ~in_doubt, animal, radius, others)
            mask = mask | self._hidden.decide(found & ~mask & ~others, mask)
            self.known_others = (self.known_others | others) & ~mask
        self._hidden.remember(mask)
        if mask.any():
            self.last_mask, self.last_others, self.frames_since = mask, others, 0
            self.known_background = (self.known_background | others) & (~mask | self._hidden.limbs)
        else:
            # The lost animal may have been tracked as another: any nearby region is accepted again.
            self.last_others = np.zeros_like(mask)
            self.known_background = self.known_background & ~found
            self.frames_since += distance_frames
        return mask

    def settle(self, animal: np.ndarray) -> None:
        """Corrects the last mask: it is known now where the animal is, bool (H, W), and the rest of
        the mask is another one."""
        self.take_over(animal, self.last_mask)
        self._hidden.forget_areas()  # they may have counted the other

    def take_over(self, animal: np.ndarray, others: np.ndarray) -> None:
        """It is known otherwise where the animal is (not empty), and what else is something else,
        bool (H, W)."""
        self.last_others = (self.last_others | others) & ~animal
        self.known_others = (self.known_others | self.last_others) & ~animal
        self.known_background = (self.known_background | self.last_others) & ~animal
        self.last_mask, self.frames_since = animal, 0
        self._hidden.take_over(animal)

    def expect(self, motion: Motion | None, *, with_others: bool = False) -> np.ndarray | None:
        """Where the animal is expected in the next frame, bool (H, W); None while it is lost.

        Args:
            motion: from that frame to the last one.
            with_others: also where other things near the animal are expected, since they may be
                mistaken for it.
        """
        if self.frames_since or not self.last_mask.any():
            return None
        animal = self.last_mask | self._hidden.in_doubt
        if with_others:
            reach = 2 * self.refinement.radius * np.hypot(*animal.shape)
            animal = animal | self.last_others & (distance_to(self.last_mask) <= reach)
        # Where the flow is wrong, the animal is about where it was.
        return warp_mask(animal, motion) | animal


def carry(region: np.ndarray, motion: Motion | None) -> np.ndarray:
    """A region, bool (H, W), moved along; as it is if the flow moves it out of the frame."""
    carried = warp_mask(region, motion)
    return carried if carried.any() else region


def move_background(
    known: np.ndarray, found: np.ndarray, motion: Motion | None, min_reliable: float
) -> np.ndarray:
    """The known background in the next frame, bool (H, W): where the flow is reliable, and nowhere
    if it is not in enough of what was found.

    Args:
        known: bool (H, W), in the frame before.
        found: bool (H, W), in the next one.
        motion: from that frame to the one before.
        min_reliable: see `Refinement`.
    """
    if motion is None or motion.reliable[found if found.any() else ...].mean() < min_reliable:
        return np.zeros_like(found)
    return warp_mask(known, motion) & motion.reliable


def sort_regions(
    mask: np.ndarray, reference: np.ndarray, radius: float, others: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Which connected regions of a mask are the animal, and which are something else.

    The animal's are those within `radius` pixels of a reference mask, and no nearer to others; of a
    region that overlaps with both, the pixels that are no nearer to them, unless these are the
    lesser part of the region and of the animal. Something else is what is nearer to others, or more
    than twice the radius away. Between the two it is neither: a head that comes out from behind a
    tree begins as a spot just out of reach.

    Args:
        mask, reference, others: bool (H, W).
        radius: pixels.

    Returns: the animal and what is something else, bool (H, W).
    """
    count, regions = cv2.connectedComponents(mask.astype("uint8"), connectivity=8)
    others = np.zeros_like(mask) if others is None else others
    to_reference, to_others = distance_to(reference), distance_to(others)
    nearest, nearest_other = np.full((2, count), np.inf, "float32")
    np.minimum.at(nearest, regions[mask], to_reference[mask])
    np.minimum.at(nearest_other, regions[mask], to_others[mask])
    kept = (nearest <= radius) & (nearest <= nearest_other)
    shared = (nearest == 0) & (nearest_other == 0)
    animal = mask & kept[regions] & (~shared[regions] | (to_reference <= to_others))
    areas, areas_of_animal = (np.bincount(regions[m], minlength=count) for m in (mask, animal))
    lesser = 2 * areas_of_animal < np.minimum(areas, areas_of_animal.sum())
    lesser &= areas_of_animal < areas_of_animal.max()  # something is left of the animal
    animal &= ~(shared & lesser)[regions]
    in_doubt = (nearest > radius) & (nearest <= 2 * radius) & (nearest <= nearest_other)
    return animal, mask & ~animal & ~in_doubt[regions]


def far_at_the_edge(animal: np.ndarray, distance: float) -> np.ndarray:
    """Where the frame's edge is so far from the animal that what comes in is another one.

    Args:
        animal: bool (H, W).
        distance: pixels.
    """
    entrance = np.ones_like(animal)
    entrance[EDGE_PX:-EDGE_PX, EDGE_PX:-EDGE_PX] = False
    return entrance & (distance_to(animal) > distance)


def make_passes(num_frames: int, labelled: Sequence[int]) -> list[tuple[int, list[int]]]:
    """The order in which masks are made: from each label forward, then backward, to half way to
    the next.

    Returns: (label to start from, frames going away from it) of each pass; each frame once.
    """
    nearest = [min(labelled, key=lambda label: (abs(label - i), label)) for i in range(num_frames)]
    passes = []
    for label in sorted(labelled):
        passes.append((label, [i for i in range(label, num_frames) if nearest[i] == label]))
        passes.append((label, [i for i in range(label - 1, -1, -1) if nearest[i] == label]))
    return passes


def mask_confidence(probability: np.ndarray, mask: np.ndarray) -> float:
    """Confidence in one animal's mask: its expected IoU under the network's own probabilities.

    The expected intersection is the sum of the probabilities in the mask; the expected union is the
    mask's area plus the sum of the probabilities outside of it. So confidence falls where the
    animal is uncertain, where the mirrored view disagrees (their mean is then near a half), and
    where regions were dropped that looked like the animal. It cannot detect confident errors.
    Probabilities below MIN_COUNTED_PROBABILITY do not count: over a whole frame they would outweigh
    a small animal.

    On the bundled sample, in two copies, blurred and covered in some frames, its rank correlation
    with J was 0.89; that of the mean of |2p - 1| on and around the mask was 0.59.

    Args:
        probability: uint8 (H, W), 0..255.
        mask: bool (H, W).

    Returns: 0..1; 0 for an empty mask.
    """
    expected = float(probability[mask].sum())
    outside = float(probability[(probability > MIN_COUNTED_PROBABILITY * 255) & ~mask].sum())
    return expected / (255 * np.count_nonzero(mask) + outside) if expected else 0.0
