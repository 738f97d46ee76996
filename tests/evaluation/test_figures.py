import warnings
from functools import partial

import numpy as np
import pytest

from dymo_med.evaluation.bootstrap import bootstrap_interval
from dymo_med.evaluation.calibration import (
    brier_score,
    calibration_intercept,
    calibration_slope,
    integrated_calibration_index,
)
from dymo_med.evaluation.classification import average_precision, balanced_accuracy, sensitivity_at_specificity
from dymo_med.evaluation.decision_curve import net_benefit
from dymo_med.evaluation.discrimination import auroc_interval
from dymo_med.evaluation.figures import figures_of_merit
from tests.evaluation.cases import LABEL, RISK, draw

NAMES = [
    "auroc",
    "auprc",
    "balanced_accuracy",
    "sensitivity_at_specificity_0.9",
    "brier",
    "calibration_intercept",
    "calibration_slope",
    "ici",
    "net_benefit_at_0.1",
]


def test_every_figure_has_its_interval():
    table = figures_of_merit(LABEL, RISK, n_resamples=200, seed=3)
    assert table["figure"].tolist() == NAMES
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()
    assert (table["n"] == 80).all()
    assert (table["n_positive"] == 37).all()
    assert (table["reason"] == "").all()
    rows = table.set_index("figure")
    area = auroc_interval(LABEL, RISK)
    assert rows.loc["auroc", ["value", "low", "high"]].tolist() == [area.value, area.low, area.high]
    statistics = {
        "auprc": average_precision,
        "balanced_accuracy": balanced_accuracy,
        "sensitivity_at_specificity_0.9": sensitivity_at_specificity,
        "brier": brier_score,
        "calibration_intercept": calibration_intercept,
        "calibration_slope": calibration_slope,
        "ici": integrated_calibration_index,
        "net_benefit_at_0.1": partial(net_benefit, threshold=0.1),
    }
    assert list(statistics) == NAMES[1:]
    for name, statistic in statistics.items():
        expected = bootstrap_interval(statistic, LABEL, RISK, n_resamples=200, seed=3)
        assert tuple(rows.loc[name, ["low", "high"]]) == expected
        assert rows.loc[name, "value"] == float(statistic(LABEL, RISK))


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ([0, 0, 1], "1 positive and 2 negative subjects, at least 5 of each"),
        ([0] * 30, "0 positive and 30 negative"),
        ([1] * 30, "30 positive and 0 negative"),
    ],
)
def test_too_few_subjects_are_not_estimable(label, text):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the reason stands in the table: no warning beside it
        table = figures_of_merit(label, np.linspace(0.1, 0.9, len(label)))
    assert table["figure"].tolist() == NAMES
    assert table[["value", "low", "high"]].isna().all().all()
    assert table["reason"].str.contains(f"not estimable: {text}", regex=False).all()


def test_a_figure_without_a_fit_is_named():
    risk = np.linspace(0.05, 0.95, 40)
    table = figures_of_merit(risk > 0.5, risk, n_resamples=50).set_index("figure")
    assert table.loc["auroc", "value"] == 1.0
    assert np.isnan(table.loc["auroc", "low"])
    assert table.loc["auroc", "reason"].startswith("interval not estimable: no variance")
    for name in ("calibration_slope", "ici"):
        assert np.isnan(table.loc[name, "value"])
        assert table.loc[name, "reason"].startswith("not estimable: probabilities that separate the classes")
    assert table.loc["brier", "reason"] == ""


def test_options_reach_the_figures():
    label, risk = draw(80, 1)
    table = figures_of_merit(label, risk, specificity=0.8, net_benefit_at=(0.2, 0.3), n_resamples=20)
    assert {"sensitivity_at_specificity_0.8", "net_benefit_at_0.2", "net_benefit_at_0.3"} <= set(table["figure"])
    assert figures_of_merit(label, risk, min_per_class=60)["value"].isna().all()


def test_refusals():
    with pytest.raises(ValueError, match=r"between 0 and 1, however: 1 are not, first 3\.0: give probabilities"):
        figures_of_merit([0, 1], [0.5, 3.0])
    with pytest.raises(ValueError, match=r"probability must not be nan, however: 1 of 2"):
        figures_of_merit([0, 1], [0.5, np.nan])
    with pytest.raises(ValueError, match=r"labels must be 0 or 1, however: label also holds 2"):
        figures_of_merit([0, 2], [0.5, 0.5])
