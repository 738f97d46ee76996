import itertools

import numpy as np
import pytest

from dymo_med.missingness.patterns import MissingPattern, sample_missing, sample_missing_of

RATES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
FAMILIES = {"mri": [0, 1, 2, 3], "pulse": [10, 12]}
ORDER = list(range(74, -1, -1))


@pytest.fixture
def gaps():
    return np.random.default_rng(3).random((40, 75)) < 0.2


def sample(missing, pattern, rate, seed=0):
    options = {"families": FAMILIES} if pattern == "block" else {"order": ORDER} if pattern == "ranked" else {}
    return sample_missing(missing, pattern=pattern, rate=rate, rng=np.random.default_rng(seed), **options)


@pytest.mark.parametrize("pattern", list(MissingPattern))
@pytest.mark.parametrize("rate", RATES)
def test_gaps_stay_and_the_real_rate_is_counted(gaps, pattern, rate):
    before = gaps.copy()
    result = sample(gaps, pattern, rate)
    assert (gaps == before).all()
    assert result.missing.dtype == np.bool_
    assert result.missing[gaps].all()
    newly = sum(1 for cell, old in zip(result.missing.flat, gaps.flat, strict=True) if cell and not old)
    assert result.real_rate == newly / (gaps.size - gaps.sum())
    assert result.requested_rate == rate


@pytest.mark.parametrize("pattern", list(MissingPattern))
def test_masks_are_nested_across_rates_and_repeatable(gaps, pattern):
    masks = [sample(gaps, pattern, rate).missing for rate in RATES]
    for smaller, larger in itertools.pairwise(masks):
        assert larger[smaller].all()
    assert (masks[3] == sample(gaps, pattern, RATES[3]).missing).all()
    another = sample(gaps, pattern, RATES[3], seed=1).missing
    assert (masks[3] != another).any() == (pattern is not MissingPattern.RANKED)  # which draws nothing
    assert (masks[0] == gaps).all()


@pytest.mark.parametrize("rate", RATES)
def test_value_reaches_the_rate_in_every_row(gaps, rate):
    result = sample(gaps, "value", rate)
    for row, before in zip(result.missing, gaps, strict=True):
        observed = int((~before).sum())
        assert row.sum() - before.sum() == round(rate * observed)
    assert (result.missing[0] != result.missing[1]).any() or rate in (0.0, 1.0)


@pytest.mark.parametrize(("rate", "expected"), [(0.1, 7), (0.3, 22), (0.5, 37), (0.7, 52), (0.9, 67), (1.0, 75)])
def test_column_hides_the_same_columns_of_everybody(rate, expected):
    result = sample(np.zeros((5, 75), dtype=bool), "column", rate)
    assert result.missing.sum(axis=1).tolist() == [expected] * 5
    assert (result.missing == result.missing[0]).all()
    assert result.real_rate == pytest.approx(expected / 75)


def test_column_counts_survive_binary_fractions():
    assert sample(np.zeros((1, 100), dtype=bool), "column", 0.29).missing.sum() == 29


def test_block_hides_families_as_a_whole():
    result = sample(np.zeros((2000, 20), dtype=bool), "block", 0.3).missing
    for columns in FAMILIES.values():
        family = result[:, columns]
        assert (family.all(axis=1) == family.any(axis=1)).all()
        assert family[:, 0].mean() == pytest.approx(0.3, abs=0.04)
    others = [column for column in range(20) if column not in FAMILIES["mri"] + FAMILIES["pulse"]]
    assert not result[:, others].any()
    both = result[:, 0] & result[:, 10]
    assert both.mean() == pytest.approx(0.09, abs=0.03)
    assert sample(np.zeros((3, 20), dtype=bool), "block", 1.0).missing.sum() == 3 * 6


def test_table_hides_whole_rows():
    result = sample(np.zeros((2000, 4), dtype=bool), "table", 0.3).missing
    assert (result.all(axis=1) == result.any(axis=1)).all()
    assert result[:, 0].mean() == pytest.approx(0.3, abs=0.04)
    assert sample(np.zeros((3, 4), dtype=bool), "table", 1.0).missing.all()


def test_nothing_observed_has_no_real_rate():
    assert np.isnan(sample(np.ones((2, 3), dtype=bool), "value", 0.5).real_rate)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"pattern": "cell"}, ValueError, "pattern must be one of 'value', 'column', 'block', 'table'.*'cell'"),
        ({"rate": 1.5}, ValueError, "rate must be between 0 and 1.*1.5"),
        ({"missing": np.zeros((2, 3))}, TypeError, "missing must be boolean.*float64"),
        ({"missing": np.zeros(3, dtype=bool)}, ValueError, r"missing must have shape \(N, F\).*\(3,\)"),
        ({"pattern": "block"}, ValueError, "families belong to pattern 'block'.*pattern='block', families=none"),
        ({"families": {"mri": [0]}}, ValueError, "families belong.*pattern='value', families=.'mri'"),
        ({"pattern": "block", "families": {"mri": [1, 9]}}, ValueError, r"from 0 to 2.*family 'mri' has \[9\]"),
        ({"pattern": "ranked"}, ValueError, "an order belongs to pattern 'ranked'.*pattern='ranked', order=none"),
        ({"order": [0, 1, 2]}, ValueError, "an order belongs to.*pattern='value', order=3 columns"),
        ({"pattern": "ranked", "order": [0, 1, 1]}, ValueError, "from 0 to 2 once, however: 2 different of 3"),
        ({"pattern": "block", "families": {"mri": []}}, ValueError, "family 'mri' has no column"),
    ],
)
def test_refusals(change, error, text):
    arguments = {"missing": np.zeros((2, 3), dtype=bool), "pattern": "value", "rate": 0.5, **change}
    with pytest.raises(error, match=text):
        sample_missing(arguments.pop("missing"), rng=np.random.default_rng(0), **arguments)


def test_ranked_hides_the_first_columns_of_the_order():
    none = np.zeros((3, 10), dtype=bool)
    order = [4, 2, 9, 0, 1, 3, 5, 6, 7, 8]
    result = sample_missing(none, pattern="ranked", rate=0.3, rng=np.random.default_rng(0), order=order)
    assert np.flatnonzero(result.missing[0]).tolist() == [2, 4, 9]
    assert (result.missing == result.missing[0]).all()


def test_a_subject_always_loses_the_same_parts():
    none = np.zeros(60, dtype=bool)

    def hidden(subject, pattern="value", key="table", seed=0):
        return sample_missing_of(subject, none, key=key, pattern=pattern, rate=0.5, seed=seed)

    assert (hidden("a") == hidden("a")).all()
    assert (hidden("a") != hidden("b")).any()
    assert (hidden("a") != hidden("a", seed=1)).any()
    assert (hidden("a") != hidden("a", key="labs")).any()
    assert (hidden("a", "column") == hidden("b", "column")).all()
    whole = sample_missing_of("a", np.array(False), key="image", pattern="table", rate=1.0, seed=0)
    assert whole.shape == ()
    assert whole
