import math

import pytest
import torch

from dymo_med.networks.calibration import (
    Calibration,
    IsotonicCalibration,
    PlattScaling,
    PrevalenceShift,
    TemperatureScaling,
    for_patients,
    read_calibration,
    write_calibration,
)

STEPS = (
    TemperatureScaling(1.7),
    PlattScaling(0.8, -0.4),
    IsotonicCalibration((0.1, 0.4, 0.9), (0.05, 0.5, 0.8)),
    PrevalenceShift((0.5, 0.5), (0.94, 0.06)),
)


def test_round_trip(tmp_path):
    path = tmp_path / "models" / "calibration.json"
    write_calibration(path, STEPS, {"n": 650})
    found = read_calibration(path)
    assert found.steps == STEPS
    assert found.evidence == {"n": 650}
    logits = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found(logits), Calibration(STEPS)(logits))
    assert '"n": 650' in path.read_text()


@pytest.mark.parametrize("step", STEPS)
def test_order_is_kept_and_rows_are_independent(step):
    logits = torch.zeros(50, 2)
    logits[:, 1] = torch.linspace(-8, 8, 50)
    risk = torch.softmax(step(logits), -1)[:, 1]
    assert (risk.diff() >= 0).all()
    assert risk.isfinite().all()
    torch.testing.assert_close(step(logits[7:8]), step(logits)[7:8])
    shifted = torch.softmax(step(logits + 3.0), -1)[:, 1]  # softmax does not see a common shift
    torch.testing.assert_close(shifted, risk, rtol=0, atol=1e-5)


def test_missing_predictions_stay_missing():
    logits = torch.tensor([[torch.nan, torch.nan], [0.0, 1.0]])
    for step in STEPS:
        result = step(logits)
        assert result[0].isnan().any()
        assert result[1].isfinite().all()


def test_isotonic_is_straight_between_points_and_level_beyond():
    step = STEPS[2]
    risk = torch.tensor([0.01, 0.1, 0.25, 0.4, 0.65, 0.9, 0.99])
    logits = torch.stack([torch.zeros(7), torch.logit(risk)], dim=1)
    expected = torch.tensor([0.05, 0.05, 0.275, 0.5, 0.65, 0.8, 0.8])
    torch.testing.assert_close(torch.softmax(step(logits), -1)[:, 1], expected, rtol=0, atol=1e-5)


def test_prevalence_shift_of_several_classes_follows_bayes():
    probs = torch.tensor([[0.2, 0.5, 0.3]])
    learned, target = torch.tensor([0.3, 0.3, 0.4]), torch.tensor([0.6, 0.3, 0.1])
    shift = PrevalenceShift((0.3, 0.3, 0.4), (0.6, 0.3, 0.1))
    expected = probs * target / learned
    torch.testing.assert_close(torch.softmax(shift(probs.log()), -1), expected / expected.sum())


@pytest.mark.parametrize(
    ("steps", "refers_to"),
    [
        ((), (0.5, 0.5)),
        ((STEPS[0],), (0.5, 0.5)),
        ((STEPS[1],), (0.88, 0.12)),  # of the subjects that it was fitted on
        ((STEPS[2],), (0.88, 0.12)),
        ((STEPS[3],), (0.94, 0.06)),
        ((STEPS[1], STEPS[3]), (0.94, 0.06)),
    ],
)
def test_a_target_prevalence_starts_from_what_probabilities_refer_to(steps, refers_to):
    calibration = Calibration(steps, {"n": 200, "n_positive": 24})
    made = for_patients([0.5, 0.5], calibration, [0.7, 0.3])
    assert made.steps[:-1] == steps
    assert made.steps[-1].target == (0.7, 0.3)
    assert made.steps[-1].learned == pytest.approx(refers_to)
    assert made.prevalence([0.5, 0.5]) == (0.7, 0.3)


def test_without_a_target_nothing_is_shifted():
    assert for_patients([math.nan, math.nan]) is None
    calibration = Calibration(STEPS[:1])
    assert for_patients([math.nan, math.nan], calibration) is calibration


def test_a_target_needs_a_known_start():
    with pytest.raises(ValueError, match=r"needs the prevalence that probabilities refer to, however: \(nan, nan\)"):
        for_patients([math.nan, math.nan], target=[0.9, 0.1])
    with pytest.raises(ValueError, match=r"refer to, however: \(nan, nan\): calibrate on validation subjects"):
        for_patients([0.5, 0.5], Calibration(STEPS[1:2]), [0.9, 0.1])  # fitted on nobody knows whom
    known = Calibration(STEPS[1:2], {"n": 100, "n_positive": 10})
    assert for_patients([math.nan, math.nan], known, [0.5, 0.5]).steps[-1].learned == (0.9, 0.1)
    with pytest.raises(ValueError, match=r"positive shares that add up to 1, however: target=\(0\.06,\)"):
        for_patients([0.5, 0.5], target=[0.06])


def test_shares_in_single_precision_are_enough():
    shares = torch.tensor([0.941, 0.059]).tolist()
    assert for_patients(shares, target=[0.5, 0.5]).steps[0].learned == pytest.approx((0.941, 0.059))


def test_no_steps_change_nothing():
    logits = torch.randn(3, 4)
    assert torch.equal(Calibration()(logits), logits)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: TemperatureScaling(0), "temperature must be positive and finite, however: temperature=0"),
        (lambda: PlattScaling(-1, 0), "slope must be positive and finite, however: slope=-1"),
        (lambda: PlattScaling(1, math.nan), "intercept must be finite, however: intercept=nan"),
        (lambda: IsotonicCalibration((0.5,), (0.5,)), "two points or more that rise, however: 1 probabilities"),
        (lambda: IsotonicCalibration((0.2, 0.1), (0.1, 0.2)), "two points or more that rise"),
        (lambda: IsotonicCalibration((0.1, 0.2), (0.0, 0.2)), r"lie within 0 and 1, however: from 0\.0 to 0\.2"),
        (lambda: PrevalenceShift((0.5, 0.4), (0.5, 0.5)), r"learned must be positive shares .*\(0\.5, 0\.4\)"),
        (lambda: PrevalenceShift((1.0, 0.0), (0.5, 0.5)), "learned must be positive shares"),
        (lambda: PrevalenceShift((1.0,), (0.5, 0.5)), "of the same classes, however: 1 and 2"),
        (lambda: STEPS[3](torch.zeros(1, 3)), "a shift of 2 classes needs as many logits, however: 3"),
        (lambda: STEPS[1](torch.zeros(1, 3)), "platt calibration is for two classes, however: 3"),
        (lambda: STEPS[2](torch.zeros(1, 3)), "isotonic calibration is for two classes, however: 3"),
    ],
)
def test_refusals(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_faulty_files(tmp_path):
    path = tmp_path / "calibration.json"
    with pytest.raises(FileNotFoundError, match=r"no calibration at .*: fit it on the validation set first"):
        read_calibration(path)
    path.write_text('{"format": "other"}')
    with pytest.raises(ValueError, match=r"must be of format .* however: \('other', None\)"):
        read_calibration(path)
    head = '{"format": "dymo_med calibration", "version": 1, "steps": '
    path.write_text(head + '[{"kind": "magic"}]}')
    with pytest.raises(ValueError, match=r"must be one of \['isotonic', .* however: 'magic'"):
        read_calibration(path)
    path.write_text(head + '[{"kind": "platt", "slope": 1}]}')
    with pytest.raises(ValueError, match=r"step 'platt' of calibration\.json is damaged .*intercept"):
        read_calibration(path)
