"""Short-axis cine MRI: reading, choice of slice and phases, and the image that a network takes."""

from dymo_med.data.cine.archive import IntakeLimits
from dymo_med.data.cine.image import to_model_image
from dymo_med.data.cine.nifti import EDESPair
from dymo_med.data.cine.phases import CHANNELS, CineFrames, select_frames
from dymo_med.data.cine.published import published_frames, to_published_image
from dymo_med.data.cine.reader import check_patient_numbering, find_cine_zips, read_cine
from dymo_med.data.cine.stack import CineStack

__all__ = [
    "CHANNELS",
    "CineFrames",
    "CineStack",
    "EDESPair",
    "IntakeLimits",
    "check_patient_numbering",
    "find_cine_zips",
    "published_frames",
    "read_cine",
    "select_frames",
    "to_model_image",
    "to_published_image",
]
