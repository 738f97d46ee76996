"""Against dcurves 1.1.7 (Python), whose figures stand to the digits it prints."""

import numpy as np
import pytest

from dymo_med.evaluation.decision_curve import decision_curve, net_benefit
from tests.evaluation.cases import LABEL, RISK

THRESHOLDS = [0.05, 0.1, 0.2, 0.3, 0.5, 0.8]
MODEL = [0.434868, 0.376389, 0.303125, 0.226786, 0.1, 0.0125]
TREAT_ALL = [0.434211, 0.402778, 0.328125, 0.232143, -0.075, -1.6875]


def test_curve_equals_dcurves():
    curve = decision_curve(LABEL, RISK, THRESHOLDS, n_resamples=100)
    assert curve["net_benefit"].round(6).tolist() == MODEL
    assert curve["treat_all"].round(6).tolist() == TREAT_ALL
    assert curve["treat_none"].tolist() == [0.0] * 6
    assert (curve["net_benefit_low"] < curve["net_benefit"]).all()
    assert (curve["net_benefit"] < curve["net_benefit_high"]).all()


def test_family_history_of_the_dcurves_example():
    """Its example data: 24 of 105 cancers and 91 of 645 others have a family history."""
    label = np.repeat([True, True, False, False], [24, 81, 91, 554])
    history = np.repeat([1.0, 0.0, 1.0, 0.0], [24, 81, 91, 554])
    found = [round(float(net_benefit(label, history, threshold=t)), 6) for t in (0.05, 0.1, 0.15, 0.2)]
    assert found == [0.025614, 0.018519, 0.010588, 0.001667]


def test_bounds_of_net_benefit():
    assert float(net_benefit(LABEL, LABEL.astype(float), threshold=0.3)) == pytest.approx(LABEL.mean())
    assert float(net_benefit(LABEL, np.zeros(80), threshold=0.3)) == 0.0


@pytest.mark.parametrize("threshold", [0.0, 1.0, float("nan")])
def test_threshold_out_of_range(threshold):
    with pytest.raises(ValueError, match=r"threshold must be between 0 and 1, both excluded, however: threshold="):
        net_benefit(LABEL, RISK, threshold=threshold)
