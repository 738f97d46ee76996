"""Argument checks: what passes, what is refused, and in which words."""

import pickle

import pytest
import torch

from dymo_med.utils import (
    Metric,
    SubjectError,
    as_choice,
    check_bool_mask,
    check_fraction,
    check_positive,
    check_positive_int,
    check_shape,
)


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "3"])
def test_positive_int_refuses(value):
    with pytest.raises(ValueError, match=f"n must be a positive integer, however: n={value!r}"):
        check_positive_int("n", value)


@pytest.mark.parametrize("value", [0, -0.1, float("inf"), float("nan")])
def test_positive_refuses(value):
    with pytest.raises(ValueError, match="t must be positive and finite, however: t="):
        check_positive("t", value)


@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan")])
def test_fraction_refuses(value):
    with pytest.raises(ValueError, match="rate must be between 0 and 1, however: rate="):
        check_fraction("rate", value)


def test_bounds_pass():
    check_positive_int("n", 1)
    check_positive("t", 1e-9)
    check_fraction("rate", 0)
    check_fraction("rate", 1)
    check_bool_mask("missing", torch.zeros(2, dtype=torch.bool))
    check_shape("x", torch.zeros(3, 4), ("B", 4))


def test_choice_lists_what_exists():
    assert as_choice("metric", "squared_euclidean", Metric) is Metric.SQUARED_EUCLIDEAN
    with pytest.raises(ValueError, match="metric must be one of 'cosine', 'squared_euclidean', however: metric='l2'"):
        as_choice("metric", "l2", Metric)


def test_mask_of_numbers_is_refused():
    with pytest.raises(TypeError, match=r"missing must be boolean with True = absent, however: .*torch.float32"):
        check_bool_mask("missing", torch.zeros(2))


@pytest.mark.parametrize("shape", [(3,), (3, 5), (3, 4, 1)])
def test_shape_is_named(shape):
    with pytest.raises(ValueError, match=r"x must have shape \(B, 4\), however: x.shape="):
        check_shape("x", torch.zeros(shape), ("B", 4))


def test_subject_error_is_one_line_and_crosses_processes():
    error = SubjectError("no pixels", where="tag (7FE0,0010)", remedy="export again")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "no pixels in tag (7FE0,0010): export again"
    assert (again.problem, again.where, again.remedy) == ("no pixels", "tag (7FE0,0010)", "export again")
