import numpy as np
import pytest

from dymo_med.data.synthetic.torso import TISSUE, pixel_grid, render_torso

SPACING = 2.5


def torso(bmi=26.0, positions=(0.1, 0.5, 0.9), seed=4):
    right, down = pixel_grid(160, 160, SPACING)
    return render_torso(right, down, np.array(positions), bmi=bmi, edge_mm=SPACING, rng=np.random.default_rng(seed))


def test_grid_is_centered_with_right_and_down_positive():
    right, down = pixel_grid(4, 3, 2.0)
    assert right.tolist() == [[-2.0, 0.0, 2.0]] * 4
    assert down[:, 0].tolist() == [-3.0, -1.0, 1.0, 3.0]


@pytest.mark.parametrize("seed", range(4))
def test_fat_grows_with_body_mass(seed):
    slim, stout = ((torso(bmi, seed=seed) > 0.8).sum() for bmi in (19, 33))
    assert stout > 1.8 * slim


def test_air_surrounds_the_body():
    picture = torso()
    assert picture[:, 0, 0] == pytest.approx(TISSUE["air"])
    assert picture[:, -1, -1] == pytest.approx(TISSUE["air"])


def test_diaphragm_rises_toward_the_apex():
    column = 80 - round(15 / SPACING)
    tops = [int(np.flatnonzero(picture[80:, column] > 0.25)[0]) for picture in torso()]
    assert tops == sorted(tops, reverse=True)
    assert tops[0] > tops[-1]


def test_surroundings_differ_between_participants():
    assert np.abs(torso(seed=1) - torso(seed=2)).mean() > 0.02


def test_lung_lies_above_right_of_the_heart_and_holds_vessels():
    lung = torso()[1, 40:70, 90:120]
    assert np.median(lung) == pytest.approx(TISSUE["lung"], abs=0.04)
    assert lung.max() > 2 * np.median(lung)
