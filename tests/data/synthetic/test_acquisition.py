import numpy as np
import pytest

from dymo_med.data.synthetic.acquisition import PhantomImageSize, draw_pose

POSES = [draw_pose(np.random.default_rng(seed)) for seed in range(30)]


@pytest.mark.parametrize("pose", POSES[:5])
def test_directions_are_orthonormal_and_right_handed(pose):
    frame = np.array([pose.row_direction, pose.column_direction, -pose.to_apex])
    assert np.allclose(frame @ frame.T, np.eye(3))
    assert np.linalg.det(frame) == pytest.approx(1)


def test_planes_are_oblique_short_axes():
    """The apex points to the left, front and foot of the patient; the picture's lower edge to the foot."""
    apex = np.array([pose.to_apex for pose in POSES])
    assert (apex[:, 0] > 0.4).all()
    assert (apex[:, 1] < -0.2).all()
    assert (apex[:, 2] < -0.2).all()
    assert all(pose.column_direction[2] < -0.6 for pose in POSES)
    assert all(pose.row_direction[1] > 0.4 for pose in POSES)


def test_planes_differ_between_participants():
    assert np.ptp([pose.to_apex for pose in POSES], axis=0).min() > 0.1
    assert np.ptp([pose.center_mm for pose in POSES], axis=0).min() > 20


def test_slices_lie_ten_millimetres_apart_around_the_center():
    size = PhantomImageSize(n_slices=5, n_frames=4, rows=32, columns=40)
    pose = POSES[0]
    corners = np.array([pose.first_pixel_mm(k, size) for k in range(5)])
    assert np.allclose(np.diff(corners, axis=0), 10 * pose.to_apex)
    half = size.pixel_spacing_mm * (19.5 * pose.row_direction + 15.5 * pose.column_direction)
    assert np.allclose(corners.mean(axis=0) + half, pose.center_mm)
