"""Names of files and columns in a cohort folder."""

__all__ = [
    "COHORT_FILE",
    "FORMAT",
    "FRAMES_FOLDER",
    "LABEL_PREFIX",
    "NEW_SPLIT",
    "QUALITY_FILE",
    "RESERVED",
    "SCHEMA_FILE",
    "SET_ASIDE_FILE",
    "SUBJECTS_FILE",
    "TRAIN_SPLIT",
    "VERSION",
]

FORMAT = "dymo_med cohort"
VERSION = 1

COHORT_FILE = "cohort.json"
"""Counts and digests; written last, so that a folder with this file is complete."""
SCHEMA_FILE = "schema.json"
SUBJECTS_FILE = "subjects.parquet"
FRAMES_FOLDER = "frames"
QUALITY_FILE = "image_quality.csv"
SET_ASIDE_FILE = "set_aside.csv"

RESERVED = ("subject_id", "image", "split")
"""Titles that no feature may have."""
LABEL_PREFIX = "label_"
"""Title of a label column is this and the task's name."""
NEW_SPLIT = "new"
"""The split of subjects that come after training."""
TRAIN_SPLIT = "train"
"""The split whose rows a schema is fitted on."""
