"""Published augmentation against per-pixel formulas of colorsys, and crops against their definition."""

import colorsys

import numpy as np
import pytest
import torch

from dymo_med.transforms import RandColorJitterd, RandResizedCropd
from dymo_med.transforms.augmentation import (
    RandColorJitterD,
    RandColorJitterDict,
    RandResizedCropD,
    RandResizedCropDict,
)

OFF = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}


@pytest.fixture
def image():
    picture = torch.rand(3, 6, 5, generator=torch.Generator().manual_seed(0))
    picture[:, 0, 0] = 0.4  # gray: no hue
    picture[:, 0, 1] = 0.0
    picture[:, 0, 2] = torch.tensor([1.0, 0.0, 0.0])
    picture[:, 0, 3] = torch.tensor([0.0, 0.7, 0.7])
    return picture


def jitter(image, seed=0, prob=1.0, **ranges):
    transform = RandColorJitterd("image", **OFF | ranges, prob=prob).set_random_state(seed)
    return transform({"image": image})["image"], dict(transform._draws)


@pytest.mark.parametrize("seed", range(6))
def test_hue_turns_every_pixel_as_colorsys_does(image, seed):
    found, draws = jitter(image, seed, hue=1.0)
    expected = image.double().numpy().copy()
    for x, y in np.ndindex(6, 5):
        hue, saturation, value = colorsys.rgb_to_hsv(*expected[:, x, y])
        expected[:, x, y] = colorsys.hsv_to_rgb((hue + draws["hue"]) % 1, saturation, value)
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-6)


def test_brightness_contrast_and_saturation_by_hand(image):
    gray = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
    found, draws = jitter(image, 1, brightness=0.5)
    torch.testing.assert_close(found, (image * (1 + draws["brightness"])).clamp(0, 1))
    found, draws = jitter(image, 1, contrast=0.5)
    torch.testing.assert_close(found, (gray.mean() + (image - gray.mean()) * (1 + draws["contrast"])).clamp(0, 1))
    found, draws = jitter(image, 1, saturation=0.5)
    torch.testing.assert_close(found, (gray + (image - gray) * (1 + draws["saturation"])).clamp(0, 1))


def test_amounts_fill_their_ranges_and_orders_differ(image):
    transform = RandColorJitterd("image", prob=1.0).set_random_state(3)
    drawn = []
    for _ in range(300):
        transform({"image": image})
        drawn.append(list(transform._draws))
    for name, width in {"brightness": 0.5, "contrast": 0.5, "saturation": 0.5, "hue": 0.2}.items():
        amounts = [dict(draws)[name] for draws in drawn]
        assert -width <= min(amounts) < -0.9 * width
        assert 0.9 * width < max(amounts) <= width
    assert len({tuple(name for name, _ in draws) for draws in drawn}) == 24


def test_probability_and_repeatability(image):
    transform = RandColorJitterd("image", prob=0.5).set_random_state(0)
    changed = [not torch.equal(transform({"image": image})["image"], image) for _ in range(200)]
    assert 70 < sum(changed) < 130
    before = image.clone()
    assert torch.equal(jitter(image, 9, hue=0.2)[0], jitter(image, 9, hue=0.2)[0])
    assert torch.equal(image, before)


def test_refusals(image):
    with pytest.raises(ValueError, match=r"hue must be between 0 and 1, however: hue=1.2"):
        RandColorJitterd("image", hue=1.2)
    with pytest.raises(ValueError, match=r"three channels, however: image.shape=\(2, 6, 5\); use the bundle's own"):
        jitter(image[:2])
    with pytest.raises(ValueError, match=r"area must be between 0 and 1, however: area=1.5"):
        RandResizedCropd("image", area=(0.5, 1.5))
    with pytest.raises(ValueError, match=r"aspect must be two positive numbers in order, however: \[2, 1\]; swap"):
        RandResizedCropd("image", aspect=(2, 1))


def test_crop_is_a_rectangle_of_the_image_enlarged():
    ramp = torch.stack([torch.arange(64.0)[:, None].expand(64, 64), torch.arange(64.0).expand(64, 64)])
    transform = RandResizedCropd("image", area=(0.2, 1.0)).set_random_state(0)
    areas, aspects = [], []
    for _ in range(300):
        rows, columns = transform({"image": ramp})["image"]
        left, top, x, y = transform._box
        assert 0 <= left <= left + x <= 64
        assert 0 <= top <= top + y <= 64
        # a ramp stays a ramp whose ends are those of the rectangle
        assert (float(rows.min()), float(rows.max())) == pytest.approx((left, left + x - 1), abs=0.51)
        assert (float(columns.min()), float(columns.max())) == pytest.approx((top, top + y - 1), abs=0.51)
        assert rows.shape == (64, 64)
        areas.append(x * y / 64**2)
        aspects.append(y / x)
    assert 0.18 < min(areas) < 0.25
    assert 0.9 < max(areas) <= 1
    assert 0.72 < min(aspects) < 0.8
    assert 1.25 < max(aspects) < 1.4


def test_crop_that_cannot_fit_is_the_whole_image():
    image = torch.rand(1, 8, 8)
    transform = RandResizedCropd("image", area=(1, 1), aspect=(2, 2)).set_random_state(0)
    assert torch.equal(transform({"image": image})["image"], image)
    assert torch.equal(RandResizedCropd("image", prob=0.0)({"image": image})["image"], image)


def test_aliases():
    assert RandColorJitterD is RandColorJitterDict is RandColorJitterd
    assert RandResizedCropD is RandResizedCropDict is RandResizedCropd
