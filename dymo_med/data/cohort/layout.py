"""Names of files and columns in a cohort folder."""

__all__ = [
    "COHORT_FILE",
    "DATALIST_FILE",
    "FORMAT",
    "FRAMES_FOLDER",
    "LABEL_PREFIX",
    "NEW_SPLIT",
    "QUALITY_FILE",
    "RESERVED",
    "SCHEMA_FILE",
    "SUBJECTS_FILE",
    "TRAIN_SPLIT",
    "VALIDATION_SPLIT",
    "VERSION",
]

FORMAT = "dymo_med cohort"
VERSION = 2

COHORT_FILE = "cohort.json"
"""Counts and digests; written last, so that a folder with this file is complete."""
SCHEMA_FILE = "schema.json"
SUBJECTS_FILE = "cohort.parquet"
"""One row per subject: split, labels, columns of the table."""
FRAMES_FOLDER = "frames"
QUALITY_FILE = "qc.parquet"
"""One row per subject, in or out: the reason of everyone left out, and what reading told about the image."""
DATALIST_FILE = "datalist.json"

RESERVED = ("subject_id", "image", "split")
"""Titles that no feature may have."""
LABEL_PREFIX = "label_"
"""Title of a label column is this and the task's name."""
NEW_SPLIT = "new"
"""The split of subjects that come after training."""
TRAIN_SPLIT = "train"
"""The split whose rows a schema is fitted on."""
VALIDATION_SPLIT = "val"
"""The split on which the best epoch is chosen."""
