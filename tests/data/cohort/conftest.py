"""A small cohort of ten subjects whose images are plain arrays."""

import numpy as np
import pandas as pd
import pytest

from dymo_med.data.cohort import write_cohort
from dymo_med.tabular import Column
from dymo_med.utils import SubjectError

COLUMNS = (
    Column(name="age_years", kind="continuous", unit="years", low=18, high=110),
    Column(name="sex", kind="categorical", categories=("female", "male")),
)
SIZE = 8


def read_array(source):
    image = np.load(source)
    if image.size == 1:
        raise SubjectError("no pixel data", where="the zip", remedy="export it again")
    return image, {"slice_index": 4, "confidence": 0.9, "findings": ""}


def image_of(number):
    return np.random.default_rng(number).random((3, SIZE, SIZE), dtype=np.float32)


class Raw:
    """What a cohort is written from; tests change it, then write."""

    def __init__(self, folder):
        self.folder = folder
        ids = [f"S{number}" for number in range(10)]
        self.features = pd.DataFrame(
            {"sex": ["female", "male"] * 5, "age_years": np.linspace(40, 76, 10)}, index=ids
        ).astype({"age_years": object})
        self.labels = pd.DataFrame({"cad": [0, 1, 0, 1, 0, 1, 0, 1, 0, None]}, index=ids)
        self.splits = pd.Series(["train"] * 6 + ["val", "val", "test", "test"], index=ids)
        self.images = {}
        (folder / "raw").mkdir()
        for number, subject in enumerate(ids):
            self.images[subject] = folder / "raw" / f"{subject}.npy"
            np.save(self.images[subject], image_of(number))

    def write(self, name="cohort", **changes):
        options = {
            "features": self.features,
            "columns": COLUMNS,
            "images": self.images,
            "labels": self.labels,
            "splits": self.splits,
            "image_size": SIZE,
            "data_kind": "simulated",
            "read": read_array,
        }
        return write_cohort(self.folder / name, **{**options, **changes})


@pytest.fixture
def raw(tmp_path):
    return Raw(tmp_path)
