import numpy as np
import pytest

from dymo_med.data.cine import CineStack
from dymo_med.data.cine.stack import central_slices
from dymo_med.utils import SubjectError


def make_stack(decode, **changes):
    return CineStack(
        shape=(4, 3, 2, 5), affine=np.diag([2.0, 3.0, 9.0, 1.0]), trigger_time_ms=np.zeros(5), decode=decode, **changes
    )


def test_every_frame_is_decoded_once_and_only_when_asked_for():
    calls = []

    def decode(k, t):
        calls.append((k, t))
        return np.full((4, 3), 10 * k + t, np.float32)

    stack = make_stack(decode)
    assert calls == []
    stack.frame(1, 2)
    cine = stack.slice_cine(1)
    stack.slice_cine(1)
    assert sorted(calls) == [(1, t) for t in range(5)]
    np.testing.assert_array_equal(cine[2, 1], [10, 11, 12, 13, 14])
    assert cine.shape == (4, 3, 5)


def test_frames_cannot_be_written_to():
    frame = make_stack(lambda *_: np.zeros((4, 3), np.float32)).frame(0, 0)
    with pytest.raises(ValueError, match="read-only"):
        frame[0, 0] = 1


@pytest.mark.parametrize(("k", "t"), [(2, 0), (-1, 0), (0, 5), (0, -1)])
def test_slices_and_phases_outside_are_refused(k, t):
    with pytest.raises(IndexError, match=rf"inside \(Z, T\)=\(2, 5\), however: {k}, {t}"):
        make_stack(lambda *_: np.zeros((4, 3), np.float32)).frame(k, t)


def test_pixels_that_are_not_finite_are_refused():
    with pytest.raises(SubjectError, match="12 pixels that are not finite in slice 1, phase 4"):
        make_stack(lambda *_: np.full((4, 3), np.nan, np.float32)).frame(1, 4)


def test_faulty_slice_raises_its_fault():
    fault = SubjectError("7 phases instead of 8", where="slice 0", remedy="download again")
    stack = make_stack(lambda *_: np.zeros((4, 3), np.float32), slice_faults={0: fault})
    stack.frame(1, 0)
    with pytest.raises(SubjectError, match="7 phases instead of 8 in slice 0"):
        stack.slice_cine(0)


@pytest.mark.parametrize("n_slices", range(1, 30))
def test_central_slices_lie_symmetrically_and_are_at_least_half(n_slices):
    central = list(central_slices(n_slices))
    assert central == [n_slices - 1 - k for k in reversed(central)]
    assert 2 * len(central) >= n_slices
    assert n_slices // 2 in central
