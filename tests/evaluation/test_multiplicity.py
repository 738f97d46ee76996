import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from dymo_med.evaluation.multiplicity import holm


@pytest.mark.parametrize("seed", range(5))
def test_equals_statsmodels(seed):
    p_values = np.random.default_rng(seed).random(12) ** 3
    np.testing.assert_allclose(holm(p_values), multipletests(p_values, method="holm")[1], atol=1e-15)


def test_equals_r():
    """p.adjust(c(0.011, 0.02, 0.04, 0.03, 0.5), "holm") of R 4.2."""
    assert holm([0.011, 0.02, 0.04, 0.03, 0.5]) == pytest.approx([0.055, 0.08, 0.09, 0.09, 0.5])


def test_comparisons_not_made_do_not_count():
    with_nan = holm([0.02, np.nan, 0.04])
    assert np.isnan(with_nan[1])
    assert with_nan[[0, 2]].tolist() == holm([0.02, 0.04]).tolist()
    assert holm([]).tolist() == []


def test_refusals():
    with pytest.raises(ValueError, match=r"between 0 and 1, however: \[1\.5\] among 2"):
        holm([0.1, 1.5])
    with pytest.raises(ValueError, match=r"shape \(C,\), however: p_values\.shape=\(1, 1\)"):
        holm([[0.1]])
