import numpy as np
import pytest

from dymo_med.data.cine import CHANNELS, CineStack, select_frames
from dymo_med.data.cine.stack import central_slices
from dymo_med.utils import SubjectError
from tests.data.cine.scans import Heart, true_affine


def make_stack(heart, decode=None, **changes):
    return CineStack(
        shape=(heart.columns, heart.rows, heart.n_slices, heart.n_phases),
        affine=true_affine(heart),
        trigger_time_ms=np.arange(heart.n_phases) * 20.0,
        decode=decode or (lambda k, t: heart.frame(k, t).T.astype(np.float32)),
        **changes,
    )


def cyclic_distance(a, b, n):
    return min((a - b) % n, (b - a) % n)


@pytest.mark.parametrize("noise", [4.0, 30.0])
@pytest.mark.parametrize(
    ("n_phases", "ed", "contraction"), [(50, 0, 0.36), (50, 44, 0.4), (25, 7, 0.33), (20, 19, 0.42), (8, 5, 0.4)]
)
def test_phases_are_found_within_one_frame_wherever_the_cine_starts(n_phases, ed, contraction, noise):
    heart = Heart(n_phases=n_phases, ed=ed, contraction=contraction, noise=noise, rows=56, columns=60)
    found = select_frames(make_stack(heart)).phase_indices
    assert cyclic_distance(found["ed"], heart.ed, n_phases) <= 1
    assert cyclic_distance(found["es"], heart.es, n_phases) <= 1
    since_ed = (found["mid"] - found["ed"]) % n_phases
    assert since_ed == (found["es"] - found["ed"]) % n_phases // 2
    assert 0 < since_ed < (found["es"] - found["ed"]) % n_phases


def test_values_are_the_frames_named_by_the_channels():
    heart = Heart()
    frames = select_frames(make_stack(heart))
    for channel, values in zip(CHANNELS, frames.values, strict=True):
        phase = frames.phase_indices[channel]
        np.testing.assert_array_equal(values, heart.frame(frames.slice_index, phase).T)
    assert CHANNELS == ("es", "mid", "ed")
    assert frames.values.dtype == np.float32
    assert frames.method == "slice by motion energy, phases by blood-pool area"
    assert frames.confidence > 0.9
    assert frames.findings == ()
    np.testing.assert_array_equal(frames.affine, true_affine(heart))
    np.testing.assert_allclose(frames.spacing_mm, (3.5, 3.75, 9.5))


@pytest.mark.parametrize("beating", [2, 3, 4, 5])
def test_slice_is_where_the_motion_is(beating):
    heart = Heart(n_slices=8)
    stack = make_stack(heart, lambda k, t: heart.frame(4, t if k == beating else 0).T.astype(np.float32))
    assert select_frames(stack).slice_index == beating


def test_only_central_slices_are_decoded_and_no_frame_twice():
    heart = Heart(n_slices=9, n_phases=30)
    calls = []

    def decode(k, t):
        calls.append((k, t))
        return heart.frame(k, t).T.astype(np.float32)

    select_frames(make_stack(heart, decode))
    assert {k for k, _ in calls} == set(central_slices(9))
    assert len(calls) == len(set(calls)) == 5 * 10 + 20


def test_motion_at_the_border_does_not_outweigh_the_heart():
    heart = Heart(n_phases=20, rows=80, columns=96)
    flicker = np.zeros((96, 80), np.float32)
    flicker[:8] = 250

    def decode(k, t):
        return heart.frame(k, t).T.astype(np.float32) + flicker * (t % 2)

    found = select_frames(make_stack(heart, decode)).phase_indices
    assert (found["ed"], found["es"]) == (heart.ed, heart.es)


def test_intensity_scale_and_offset_change_nothing():
    heart = Heart()
    plain = select_frames(make_stack(heart))
    scaled = select_frames(make_stack(heart, lambda k, t: 7 * heart.frame(k, t).T.astype(np.float32) - 300))
    assert plain.phase_indices == scaled.phase_indices
    assert plain.slice_index == scaled.slice_index
    assert plain.confidence == pytest.approx(scaled.confidence, rel=1e-4)


def test_noise_without_a_heart_gives_low_confidence_and_a_finding():
    heart = Heart(n_phases=20)
    rng = np.random.default_rng(0)
    noise = rng.normal(100, 10, (5, 20, 48, 40)).astype(np.float32)
    frames = select_frames(make_stack(heart, lambda k, t: noise[k, t], findings=("left out 1 file(s) of x",)))
    assert frames.confidence < 0.3
    assert frames.findings[0] == "left out 1 file(s) of x"
    assert frames.findings[1].startswith("end-diastole and end-systole are uncertain (confidence 0.")


def test_weaker_contraction_gives_lower_confidence():
    heart = Heart()

    def weak(k, t):
        still = heart.frame(k, heart.ed).T.astype(np.float32)
        return still + 0.1 * (heart.frame(k, t).T.astype(np.float32) - still)

    assert select_frames(make_stack(heart, weak)).confidence < select_frames(make_stack(heart)).confidence


def test_still_images_are_refused():
    heart = Heart()
    with pytest.raises(SubjectError, match="no motion between 12 phases in the central slices: pass a cine"):
        select_frames(make_stack(heart, lambda k, _: heart.frame(k, 0).T.astype(np.float32)))


def test_too_few_phases_are_refused():
    with pytest.raises(SubjectError, match="5 phases, fewer than 6 in the cine: pass the whole cine, or ED and ES"):
        select_frames(make_stack(Heart(n_phases=5)))


def pair(heart, ed, es, **changes):
    return CineStack(
        shape=(heart.columns, heart.rows, heart.n_slices, 2),
        affine=true_affine(heart),
        trigger_time_ms=np.full(2, np.nan),
        decode=lambda k, t: heart.frame(k, (ed, es)[t]).T.astype(np.float32),
        known_phases=(0, 1),
    )


def test_given_phases_are_used_and_mid_is_their_mean():
    heart = Heart()
    frames = select_frames(pair(heart, heart.ed, heart.es))
    es, mid, ed = frames.values
    np.testing.assert_array_equal(ed, heart.frame(2, heart.ed).T)
    np.testing.assert_array_equal(es, heart.frame(2, heart.es).T)
    np.testing.assert_allclose(mid, (ed.astype(float) + es) / 2)
    assert frames.phase_indices == {"es": 1, "mid": None, "ed": 0}
    assert frames.confidence == 1.0
    assert frames.method == "slice by motion energy, phases as given"
    assert frames.findings == ("mid is the voxelwise mean of end-diastole and end-systole, for no cine was given",)


def test_swapped_files_are_reported():
    heart = Heart()
    findings = select_frames(pair(heart, heart.es, heart.ed)).findings
    assert findings[1].endswith("are the two files swapped?")
