from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from dymo_med.data.synthetic import PhantomImageSize
from dymo_med.data.synthetic.rendering import render_cine, render_clean
from dymo_med.data.synthetic.torso import blend, ellipse_depth, pixel_grid

WIDE = PhantomImageSize(n_slices=10, n_frames=10, rows=128, columns=128)


def centered(heart):
    return replace(heart, offset_mm=(0.0, 0.0), rotation_rad=0.0)


def pool_pixels(frames):
    """Count bright pixels that hang together with the image center, papillary muscles included, in every slice."""
    count = 0
    for picture in frames:
        bright = ndimage.gaussian_filter(picture.astype(float), 0.5) > 0.5 * np.percentile(picture, 99)
        regions, _ = ndimage.label(bright)
        middle = regions[64, 64]
        if middle:
            count += ndimage.binary_fill_holes(ndimage.binary_closing(regions == middle, iterations=3)).sum()
    return count


@pytest.mark.parametrize("index", [0, 2, 5])
def test_ejection_fraction_can_be_counted_in_the_picture(population, index):
    person, heart, _ = population[index]
    heart = centered(heart)
    size = replace(WIDE, n_slices=7)
    cine = render_cine(heart, size, bmi=person.bmi, rng=np.random.default_rng(1))
    ed, es = (pool_pixels(cine[:, frame]) for frame in (heart.ed_frame(10), heart.es_frame(10)))
    assert 100 * (1 - es / ed) == pytest.approx(heart.ef_percent, abs=6)


def test_end_diastolic_area_of_a_slice_equals_the_shape(population):
    person, heart, _ = population[0]
    heart = centered(heart)
    cine = render_clean(heart, replace(WIDE, n_slices=1), bmi=person.bmi, rng=np.random.default_rng(1))
    area = pool_pixels(cine[:, heart.ed_frame(10)]) * 1.8**2
    radius = heart.inner_radius(np.asarray(0.5), np.linspace(0, 6.28, 90), np.asarray(0.0))
    assert area == pytest.approx(np.pi * np.mean(radius**2), rel=0.08)


def test_view_shows_right_ventricle_left_liver_below_chest_wall_upper_left_and_lung_beside(population):
    heart = centered(population[0][1])
    cine = render_clean(heart, replace(WIDE, n_slices=1), bmi=26.0, rng=np.random.default_rng(1))
    picture = cine[0, heart.ed_frame(10)]
    right, down = pixel_grid(128, 128, WIDE.pixel_spacing_mm)

    def around(x, y, reach=4):
        return picture[(np.abs(right - x) < reach) & (np.abs(down - y) < reach)].mean()

    outer = float(heart.outer_radius(np.asarray(0.5), np.asarray(np.pi), np.asarray(0.0)))
    assert around(0, 0) > 0.7
    assert around(-outer - 12, 6) > 0.6
    septum = picture[64][(right[64] < -0.5 * outer) & (right[64] > -1.2 * outer)]
    assert septum.min() < 0.32
    assert 0.2 < around(-30, 85) < 0.45
    assert around(40, -60, 12) < 0.2
    diagonal = picture[np.arange(64), np.arange(64)]
    assert diagonal.max() > 0.85


def test_right_ventricle_is_gone_at_the_apex_and_nothing_beats_below_it(population):
    person, heart, _ = population[0]
    tall = replace(centered(heart), length_mm=70.0)
    cine = render_clean(tall, WIDE, bmi=person.bmi, rng=np.random.default_rng(1))
    motion = np.ptp(cine, axis=1).max(axis=(1, 2))
    assert motion[0] > 0.2
    assert motion[4] > 0.2
    assert motion[-1] == 0
    apical = int(np.flatnonzero(tall.slice_positions(10, 10.0) < 1)[-1])
    assert np.count_nonzero(np.ptp(cine[apical], axis=0)) < 0.5 * np.count_nonzero(np.ptp(cine[4], axis=0))


def test_scarred_wall_stays_while_the_opposite_wall_moves(population):
    person, heart, _ = population[0]
    heart = replace(
        centered(heart),
        segment_angle_rad=0.0,
        segment_half_width_rad=0.8,
        segment_motion_loss=1.0,
        segment_thinning=0.4,
    )
    row = render_clean(heart, replace(WIDE, n_slices=1), bmi=person.bmi, rng=np.random.default_rng(1))[0, :, 64]
    ed, es = row[heart.ed_frame(10)], row[heart.es_frame(10)]

    def reach(line, step):
        return next(k for k in range(64) if line[64 + step * k] < 0.5)

    assert abs(reach(ed, 1) - reach(es, 1)) <= 1
    assert reach(ed, -1) - reach(es, -1) >= 3


def test_background_noise_is_rician_and_values_fit_sixteen_bits(population):
    person, heart, _ = population[0]
    cine = render_cine(heart, WIDE, bmi=person.bmi, rng=np.random.default_rng(1))
    assert cine.dtype == np.uint16
    air = cine[:, :, :8, :8].astype(float)
    assert air.mean() / air.std() == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.25)
    assert cine.max() < 4 * 4096


def test_same_generator_gives_the_same_picture(population, small):
    person, heart, _ = population[0]
    first, second = (render_cine(heart, small, bmi=person.bmi, rng=np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first, second)


def test_blend_paints_inside_only():
    image = np.full(4, 0.2, dtype=np.float32)
    blend(image, 0.8, np.array([-3, -1, 1, 3], dtype=np.float32), 4.0)
    assert image == pytest.approx([0.2, 0.35, 0.65, 0.8])


def test_ellipse_border_lies_where_its_equation_says():
    angle = np.linspace(0, 6, 13, dtype=np.float32)
    x, y = 20 * np.cos(angle), 8 * np.sin(angle)
    turn = 0.5
    right, down = 3 + x * np.cos(turn) - y * np.sin(turn), -2 + x * np.sin(turn) + y * np.cos(turn)
    assert np.abs(ellipse_depth(right, down, (3, -2), (20, 8), turn)).max() < 0.05
