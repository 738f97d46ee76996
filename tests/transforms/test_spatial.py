"""Random turns, zooms and shifts against scipy's interpolation and against their definition."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from dymo_med.transforms import RandSimilarityd, spatial


def similarity(seed=0, **options):
    return RandSimilarityd("image", **options).set_random_state(seed)


def random_image(size_x=14, size_y=9):
    return torch.rand(3, size_x, size_y, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("seed", range(5))
def test_images_are_interpolated_as_scipy_does(seed):
    """Also where the sides differ: angles are angles in pixels."""
    image = random_image()
    move = similarity(seed, rotate_range=3.0, translate_range=2.0, zoom_range=(0.7, 1.4))
    found = move({"image": image})["image"]
    cos, sin = math.cos(move._angle), math.sin(move._angle)
    matrix = np.array([[cos, -sin], [sin, cos]]) / move._zoom
    middle = (np.array(image.shape[1:]) - 1) / 2
    offset = middle - matrix @ middle + np.array(move._shift)
    for frame, result in zip(image.double().numpy(), found.numpy(), strict=True):
        expected = ndimage.affine_transform(frame, matrix, offset, order=1, mode="nearest")
        np.testing.assert_allclose(result, expected, atol=2e-5)
    assert abs(move._angle) > 0.1
    assert move._zoom != 1


def test_ranges_of_nothing_leave_the_image():
    image = random_image()
    torch.testing.assert_close(similarity()({"image": image})["image"], image)


def test_zoom_above_one_enlarges():
    image = torch.zeros(1, 33, 33)
    image[0, 12:21, 12:21] = 1
    assert float(similarity(zoom_range=(2, 2))({"image": image})["image"].sum()) == pytest.approx(4 * 81, rel=0.02)


def test_draws_fill_their_ranges():
    move, draws = similarity(rotate_range=0.5, translate_range=4, zoom_range=(0.8, 1.1)), []
    for _ in range(300):
        move.randomize()
        draws.append([move._angle, move._zoom, *move._shift])
    low, high = np.min(draws, 0), np.max(draws, 0)
    np.testing.assert_allclose(low, [-0.5, 0.8, -4, -4], atol=0.1)
    np.testing.assert_allclose(high, [0.5, 1.1, 4, 4], atol=0.1)
    assert np.abs(np.corrcoef(np.transpose(draws)) - np.eye(4)).max() < 0.2  # each draw is one of its own


def test_samples_are_changed_with_their_probability():
    image = random_image()
    move = similarity(rotate_range=1.0, prob=0.25)
    changed = [not torch.equal(move({"image": image})["image"], image) for _ in range(200)]
    assert 25 < sum(changed) < 75


def test_inputs_are_left_as_they_are_and_absent_keys_may_be():
    image = random_image()
    before = image.clone()
    similarity(rotate_range=1.0)({"image": image})
    assert torch.equal(image, before)
    move = RandSimilarityd(["image", "other"], rotate_range=1.0, allow_missing_keys=True)
    assert set(move({"image": image})) == {"image"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"prob": 2}, "prob must be between 0 and 1.*2"),
        ({"rotate_range": -0.1}, "rotate_range must be 0 or more and finite, however: rotate_range=-0.1"),
        ({"translate_range": math.inf}, "translate_range must be 0 or more and finite.*inf"),
        ({"zoom_range": [0, 1]}, r"zoom_range must be two positive numbers in order, however: \[0, 1\]"),
        ({"zoom_range": [1.2, 0.8]}, r"zoom_range must be two positive numbers in order, however: \[1.2, 0.8\]"),
        ({"zoom_range": [1.0]}, r"zoom_range must be two positive numbers in order, however: \[1.0\]"),
    ],
)
def test_refusals(options, text):
    with pytest.raises(ValueError, match=text):
        RandSimilarityd("image", **options)


def test_an_image_has_channels():
    with pytest.raises(ValueError, match=r"an image must be \(C, X, Y\), however: image.shape=\(4, 4\)"):
        similarity()({"image": torch.zeros(4, 4)})


def test_aliases_follow_the_framework():
    assert spatial.RandSimilarityD is spatial.RandSimilarityDict is RandSimilarityd
