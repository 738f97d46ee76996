import numpy as np
import pytest

from dymo_med.data.cine import CineFrames, to_model_image
from dymo_med.utils import SubjectError


def make_frames(values, spacing_mm=(1.8, 1.8, 10.0)):
    return CineFrames(
        values=np.asarray(values, np.float32),
        affine=np.eye(4),
        spacing_mm=spacing_mm,
        slice_index=0,
        phase_indices={"es": 2, "mid": 1, "ed": 0},
        method="",
        confidence=1.0,
        findings=(),
    )


def ramp(nx, ny):
    x, y = np.mgrid[:nx, :ny]
    return np.stack([x + 100.0 * y, 2.0 * x, 50.0 + y])


def unit(values):
    low, high = np.percentile(values, (1, 99))
    return np.clip((values - low) / (high - low), 0, 1)


@pytest.mark.parametrize(("nx", "ny", "size"), [(20, 30, 16), (20, 30, 40), (30, 20, 24), (16, 16, 16)])
def test_at_equal_spacing_the_image_is_cut_or_padded_around_the_center(nx, ny, size):
    values = ramp(nx, ny)
    image = to_model_image(make_frames(values), size=size)
    expected = np.zeros((3, size, size))
    for i in range(size):
        for j in range(size):
            x, y = i + nx // 2 - size // 2, j + ny // 2 - size // 2
            if 0 <= x < nx and 0 <= y < ny:
                expected[:, i, j] = unit(values)[:, x, y]
    np.testing.assert_allclose(image, expected, atol=1e-5)


def test_one_scale_for_all_channels():
    values = np.random.default_rng(0).uniform(0, 100, (3, 32, 32)) * np.array([1.0, 0.5, 0.25])[:, None, None]
    image = to_model_image(make_frames(values), size=32)
    assert image[0].mean() > 1.8 * image[1].mean() > 3.2 * image[2].mean()
    assert image.min() == 0
    assert image.max() == 1
    assert image.dtype == np.float32


def test_brightest_percent_does_not_dim_the_rest():
    values = np.random.default_rng(0).uniform(0, 100, (3, 40, 40))
    plain = to_model_image(make_frames(values), size=40)
    values[:, :2, :2] = 1e5
    np.testing.assert_allclose(to_model_image(make_frames(values), size=40)[:, 3:, 3:], plain[:, 3:, 3:], atol=0.01)


@pytest.mark.parametrize("spacing", [(1.2, 1.2), (2.4, 1.6), (0.9, 1.8)])
def test_a_disk_keeps_its_place_and_size_in_mm_at_any_spacing(spacing):
    def disk(sx, sy):
        nx, ny = round(180 / sx), round(180 / sy)
        x = (np.arange(nx) - (nx - 1) / 2) * sx
        y = (np.arange(ny) - (ny - 1) / 2) * sy
        distance = np.hypot(x[:, None] - 20, y[None, :] + 10)
        return np.repeat(np.clip((30 - distance) / 2 + 0.5, 0, 1)[None], 3, 0)

    image = to_model_image(make_frames(disk(*spacing), (*spacing, 10.0)), size=100)
    expected = to_model_image(make_frames(disk(1.8, 1.8)), size=100)
    assert np.abs(image - expected).mean() < 0.01
    x, y = (np.arange(100) - 49.5) * 1.8, (np.arange(100) - 49.5) * 1.8
    weight = image[0].sum()
    assert (image[0].sum(1) @ x) / weight == pytest.approx(20, abs=0.3)
    assert (image[0].sum(0) @ y) / weight == pytest.approx(-10, abs=0.3)
    assert weight * 1.8**2 == pytest.approx(np.pi * 30**2, rel=0.03)


def test_fine_patterns_are_averaged_rather_than_aliased():
    stripes = np.zeros((3, 240, 240))
    stripes[:, ::2] = 1
    image = to_model_image(make_frames(stripes, (0.45, 0.45, 10.0)), size=40)
    assert np.abs(image[:, 5:-5, 5:-5] - 0.5).max() < 0.05


def test_constant_frames_are_refused():
    with pytest.raises(
        SubjectError, match="constant intensity 7 between the 1st and the 99th percentile in the selected"
    ):
        to_model_image(make_frames(np.full((3, 20, 20), 7.0)))


def test_size_and_spacing_must_be_positive():
    frames = make_frames(ramp(8, 8))
    with pytest.raises(ValueError, match="size must be a positive integer, however: size=0"):
        to_model_image(frames, size=0)
    with pytest.raises(ValueError, match="spacing_mm must be positive and finite, however: spacing_mm=nan"):
        to_model_image(frames, spacing_mm=float("nan"))
