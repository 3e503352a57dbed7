"""Masks in the formats of other programs.

Every file and every folder of frames appears whole or not at all. Masks come one at a time, so
that memory does not grow with the video.
"""

CATEGORY = "animal"
PROGRAM = "one_shot_animal_video_segmentation"  # who made the masks, where a format wants to know
