"""Frames and images as the published networks saw them, against the plainest way to make them."""

import numpy as np
import pytest
import torch

from dymo_med.data.cine import CineFrames, published_frames, select_frames, to_published_image
from dymo_med.utils import SubjectError
from tests.data.cine.scans import Heart
from tests.data.cine.test_phases import make_stack


def frames_of(values):
    values = np.asarray(values, np.float32)
    return CineFrames(
        values=values, affine=np.eye(4), spacing_mm=(1.8, 1.8, 10.0), slice_index=0, phase_indices={}, method="",
        confidence=1.0, findings=(),
    )  # fmt: skip


@pytest.mark.parametrize("ed", [0, 5])
def test_first_phase_is_end_diastole_whatever_it_shows(ed):
    heart = Heart(n_phases=20, n_slices=6, ed=ed, contraction=0.4)
    stack = make_stack(heart)
    found = published_frames(stack)
    es = found.phase_indices["es"]
    assert abs(es - heart.es) <= 1
    assert (found.phase_indices["ed"], found.phase_indices["mid"], found.slice_index) == (0, es // 2, 3)
    for values, phase in zip(found.values, (es, es // 2, 0), strict=True):
        np.testing.assert_array_equal(values, stack.frame(3, phase))
    assert (select_frames(stack).phase_indices["ed"] == 0) == (ed == 0)


def test_phases_of_a_pair_are_taken():
    heart = Heart(n_phases=2, n_slices=3)
    stack = make_stack(heart, known_phases=(1, 0))
    found = published_frames(stack)
    assert found.phase_indices == {"es": 0, "mid": None, "ed": 1}
    np.testing.assert_array_equal(found.values[1], (stack.frame(1, 0) + stack.frame(1, 1)) / 2)


@pytest.mark.parametrize(("columns", "rows"), [(174, 208), (41, 63), (210, 210)])
@pytest.mark.parametrize("size", [128, 64])
def test_image_equals_padding_and_interpolation_step_by_step(columns, rows, size):
    values = np.random.default_rng(0).uniform(0, 900, (3, columns, rows)).astype(np.float32)
    side = max(columns, rows)
    square = np.zeros((3, side, side), np.float32)
    x, y = (side - columns) // 2, (side - rows) // 2
    square[:, x : x + columns, y : y + rows] = values
    whole = np.zeros((3, 210, 210), np.float32)
    margin = (210 - side) // 2
    whole[:, margin : margin + side, margin : margin + side] = square
    for channel in whole:
        channel /= channel.max()
    expected = torch.nn.functional.interpolate(torch.from_numpy(whole)[None], size=(size, size), mode="bilinear")[0]
    np.testing.assert_allclose(to_published_image(frames_of(values), size=size), expected, atol=2e-5)


@pytest.mark.parametrize(("columns", "rows"), [(212, 100), (101, 100)])
def test_sizes_for_which_the_published_preparation_fails_are_refused(columns, rows):
    with pytest.raises(SubjectError, match=rf"{rows} x {columns} pixels, above 210 or sides that differ by an odd"):
        to_published_image(frames_of(np.ones((3, columns, rows))))


def test_an_empty_frame_is_refused():
    values = np.ones((3, 10, 10))
    values[1] = 0
    with pytest.raises(SubjectError, match="no intensity above 0 in one of 3 frames"):
        to_published_image(frames_of(values))
