import math
from dataclasses import replace

import numpy as np
import pytest


@pytest.fixture
def heart(population):
    return replace(
        population[0][1],
        segment_angle_rad=0.4,
        segment_half_width_rad=0.6,
        segment_motion_loss=1.0,
        segment_thinning=0.4,
        cycle_shift=0.0,
    )


def wall(heart, angle, contraction):
    u, theta, s = np.asarray(0.5), np.asarray(angle), np.asarray(contraction)
    return float(heart.outer_radius(u, theta, s) - heart.inner_radius(u, theta, s))


def test_volumes_equal_those_of_stacked_polygons(heart):
    angles = np.linspace(0, math.tau, 361)
    for contraction, volume in ((0.0, heart.edv_ml), (1.0, heart.esv_ml)):
        total = 0.0
        for u in (np.arange(400) + 0.5) / 400:
            radius = heart.inner_radius(np.asarray(u), angles, np.asarray(contraction))
            x, y = radius * np.cos(angles), radius * np.sin(angles)
            total += 0.5 * abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) * heart.length_mm / 400
        assert volume == pytest.approx(total / 1000, rel=2e-3)


def test_mass_is_conserved_over_the_cycle(heart):
    u, theta = (np.arange(50)[:, None] + 0.5) / 50, np.linspace(0, math.tau, 180, endpoint=False)
    for contraction in (0.0, 0.5, 1.0):
        s = np.asarray(contraction)
        ring = heart.outer_radius(u, theta, s) ** 2 - heart.inner_radius(u, theta, s) ** 2
        assert 1.05 * math.pi * ring.mean() * heart.length_mm / 1000 == pytest.approx(heart.mass_g, rel=5e-3)


def test_infarcted_segment_is_thin_and_does_not_thicken_while_the_rest_does(heart):
    scar, remote = heart.segment_angle_rad, heart.segment_angle_rad + math.pi
    assert wall(heart, scar, 0.0) < 0.7 * wall(heart, remote, 0.0)
    assert wall(heart, scar, 1.0) == pytest.approx(wall(heart, scar, 0.0), rel=0.01)
    assert wall(heart, remote, 1.0) > 1.2 * wall(heart, remote, 0.0)


def test_no_segment_without_width(heart):
    assert not replace(heart, segment_half_width_rad=0.0).segment(np.linspace(-3, 3, 7)).any()


@pytest.mark.parametrize("n_frames", [8, 20, 50])
@pytest.mark.parametrize("shift", [-0.1, 0.0, 0.08])
def test_end_systole_comes_after_a_short_systole(heart, n_frames, shift):
    moved = replace(heart, cycle_shift=shift)
    curve = moved.contraction(n_frames)
    ed, es = moved.ed_frame(n_frames), moved.es_frame(n_frames)
    assert curve.min() >= 0
    assert curve.max() <= 1
    assert ed == round(shift * n_frames) % n_frames
    assert abs((es - ed) % n_frames - moved.systole_fraction * n_frames) <= 1


def test_contraction_falls_and_fills_once_per_cycle(heart):
    curve = heart.contraction(50)
    es = int(np.argmax(curve))
    assert np.all(np.diff(curve[: es + 1]) > 0)
    assert np.all(np.diff(curve[es:]) < 0)


def test_frame_zero_is_not_always_end_of_diastole(population):
    frames = [heart.ed_frame(50) for _, heart, _ in population[:500]]
    assert 0.2 < np.mean(np.array(frames) != 0) < 0.45
    assert {min(frame, 50 - frame) for frame in frames} == set(range(7))


def test_slices_run_from_base_to_apex_around_the_middle(heart):
    positions = heart.slice_positions(10, 10.0)
    assert positions.mean() == pytest.approx(0.5)
    assert np.diff(positions) == pytest.approx(np.full(9, 10 / heart.length_mm))


def mean(population, value, group):
    return np.mean([value(h) for p, h, _ in population if group(p)])


def test_hypertension_thickens_the_wall(population):
    high = mean(population, lambda h: h.wall_mm, lambda p: p.hypertension)
    normal = mean(population, lambda h: h.wall_mm, lambda p: not p.hypertension)
    assert high > normal + 0.6


def test_infarction_dilates_weakens_and_thins(population):
    after, before = (lambda p: p.infarction), (lambda p: not p.cad)
    assert mean(population, lambda h: h.ef_percent, after) < mean(population, lambda h: h.ef_percent, before) - 5
    assert mean(population, lambda h: h.edv_ml, after) > mean(population, lambda h: h.edv_ml, before) + 8
    assert mean(population, lambda h: h.segment_thinning, after) > 1.5 * mean(
        population, lambda h: h.segment_thinning, before
    )


def test_healthy_volumes_are_plausible(population):
    healthy = [h for p, h, _ in population if not p.cad]
    assert 125 < np.mean([h.edv_ml for h in healthy]) < 165
    assert 55 < np.mean([h.ef_percent for h in healthy]) < 64
    assert 70 < np.mean([h.mass_g for h in healthy]) < 115
    assert all(h.rv_esv_ml < h.rv_edv_ml for h in healthy)
