import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dymo_med.data.synthetic import PhantomImageSize, PhantomSummary, write_phantom_download
from dymo_med.data.synthetic.heart import Heart, draw_heart
from dymo_med.data.synthetic.person import Person, draw_person
from dymo_med.data.synthetic.records import Cell
from dymo_med.data.synthetic.table import table_row

SMALL = PhantomImageSize(n_slices=3, n_frames=8, rows=48, columns=48)


@pytest.fixture(scope="session")
def small() -> PhantomImageSize:
    return SMALL


@pytest.fixture(scope="session")
def download(tmp_path_factory: pytest.TempPathFactory) -> PhantomSummary:
    """A cohort without faults."""
    return write_phantom_download(tmp_path_factory.mktemp("clean"), n_subjects=12, seed=3, image=SMALL)


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> PhantomSummary:
    """A cohort that holds each fault once."""
    return write_phantom_download(tmp_path_factory.mktemp("faulty"), n_subjects=12, seed=3, image=SMALL, faults=True)


@pytest.fixture(scope="session")
def population() -> list[tuple[Person, Heart, dict[str, Cell]]]:
    """Many participants without pictures."""
    people = []
    for index in range(1800):
        rng = np.random.default_rng([11, index])
        person = draw_person(rng)
        heart = draw_heart(person, rng)
        people.append((person, heart, table_row(person, heart, rng)))
    return people


@pytest.fixture(scope="session")
def read_rows() -> Callable[[Path], list[dict[str, str]]]:
    def read(path: Path) -> list[dict[str, str]]:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    return read
