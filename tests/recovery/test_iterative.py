import itertools
import warnings

import numpy as np
import pytest
import torch
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer

from dymo_med.recovery.iterative import IterativeRecovery
from dymo_med.recovery.simple import MeanModeRecovery
from dymo_med.utils.files import load_weights, save_weights

CARDINALITIES = [2, 5, 3]
N_NUM = 5
N_FEATURES = len(CARDINALITIES) + N_NUM
N_CODES = sum(k - 1 for k in CARDINALITIES)


def people(n, seed):
    """Correlated rows: three hidden factors drive numbers and categories."""
    mixing = torch.Generator().manual_seed(99)
    generator = torch.Generator().manual_seed(seed)
    factors = torch.randn(n, 3, generator=generator)
    numbers = factors @ torch.randn(3, N_NUM, generator=mixing) + 0.3 * torch.randn(n, N_NUM, generator=generator)
    codes = []
    for k in CARDINALITIES:
        noise = 0.5 * torch.randn(n, k, generator=generator)
        codes.append((2 * factors @ torch.randn(3, k, generator=mixing) + noise).argmax(dim=1))
    return torch.cat([torch.stack(codes, dim=1).float(), numbers], dim=1)


def random_gaps(shape, rate, seed):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < rate


def hidden(values, missing):
    return {"table": values.masked_fill(missing, torch.nan)}, {"table": missing}


@pytest.fixture(scope="module")
def training():
    values, missing = people(300, 0), random_gaps((300, N_FEATURES), 0.15, 1)
    return values.masked_fill(missing, torch.nan), missing


@pytest.fixture(scope="module")
def fitted(training):
    recovery = IterativeRecovery("table", CARDINALITIES, N_NUM)
    recovery.fit(*training)
    return recovery


def encode(values, missing, references):
    """Indicators of all but the reference category, nan where absent, cell by cell."""
    rows = []
    for row, gaps in zip(values.double().tolist(), missing.tolist(), strict=True):
        cells = []
        for column, k in enumerate(CARDINALITIES):
            for category in range(k):
                if category != references[column]:
                    cells.append(np.nan if gaps[column] else float(row[column] == category))
        cells += [np.nan if gap else value for value, gap in zip(row, gaps, strict=True)][len(CARDINALITIES) :]
        rows.append(cells)
    return np.array(rows)


def test_replay_equals_scikit_learn(training, fitted):
    references = []
    for column in range(len(CARDINALITIES)):
        cells = training[0][~training[1][:, column], column].tolist()
        references.append(max(sorted(set(cells)), key=cells.count))
    matrix = encode(*training, references)
    imputer = IterativeImputer(tol=0.0, min_value=np.nanmin(matrix, axis=0), max_value=np.nanmax(matrix, axis=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imputer.fit(matrix)
    values, missing = people(80, 2), random_gaps((80, N_FEATURES), 0.5, 3)
    missing[:, -1] = False  # no row without any observed cell
    expected = imputer.transform(encode(values, missing, references))
    proposal = fitted(*hidden(values, missing))
    for row in range(80):
        first = 0
        for column, k in enumerate(CARDINALITIES):
            others = [category for category in range(k) if category != references[column]]
            scores = dict(zip(others, expected[row, first : first + k - 1], strict=True))
            scores[int(references[column])] = 1.0 - sum(scores.values())
            first += k - 1
            if missing[row, column]:
                assert proposal.values[row, column] == max(scores, key=scores.get)
    numbers = proposal.values[:, len(CARDINALITIES) :].numpy()
    np.testing.assert_allclose(numbers, expected[:, N_CODES:], atol=1e-5)


def test_observed_cells_are_untouched(fitted):
    values, missing = people(50, 4), random_gaps((50, N_FEATURES), 0.6, 5)
    proposal = fitted(*hidden(values, missing))
    assert (proposal.values[~missing] == values[~missing]).all()
    assert proposal.values.isfinite().all()
    assert proposal.values.dtype == torch.float32


@pytest.mark.parametrize("content", [1e6, -1.0, torch.inf])
def test_content_of_missing_cells_is_never_read(fitted, content):
    values, missing = people(20, 6), random_gaps((20, N_FEATURES), 0.5, 7)
    expected = fitted(*hidden(values, missing)).values
    found = fitted({"table": values.masked_fill(missing, content)}, {"table": missing}).values
    assert (found == expected).all()


def test_a_row_does_not_depend_on_its_batch(fitted):
    values, missing = people(10, 8), random_gaps((10, N_FEATURES), 0.5, 9)
    together = fitted(*hidden(values, missing)).values
    alone = torch.cat([fitted(*hidden(values[i : i + 1], missing[i : i + 1])).values for i in range(10)])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


def test_nothing_observed_is_not_available(fitted):
    values = people(3, 10)
    missing = torch.zeros(3, N_FEATURES, dtype=torch.bool)
    missing[1] = True
    missing[2, 1:] = True
    proposal = fitted(*hidden(values, missing))
    assert proposal.available.tolist() == [True, False, True]
    assert proposal.values.isfinite().all()
    whole = fitted({"table": values}, {"table": torch.tensor([False, True, False])})
    assert whole.available.tolist() == [True, False, True]


def test_better_than_mean_and_mode_for_numbers_and_categories(training, fitted):
    simple = MeanModeRecovery("table", CARDINALITIES, N_NUM)
    simple.fit(*training)
    values, missing = people(400, 11), random_gaps((400, N_FEATURES), 0.3, 12)
    ours, plain = (recovery(*hidden(values, missing)).values for recovery in (fitted, simple))
    n_cat = len(CARDINALITIES)
    gaps = missing[:, n_cat:]
    squared = [((found - values)[:, n_cat:][gaps] ** 2).mean() for found in (ours, plain)]
    assert squared[0] < 0.5 * squared[1]
    gaps = missing[:, 1]  # five nominal categories: would stay at the mode with one indicator a category
    right = [(found[:, 1] == values[:, 1])[gaps].float().mean() for found in (ours, plain)]
    assert right[0] > right[1] + 0.25


def test_numbers_stay_within_the_training_range(training, fitted):
    values, missing = people(50, 13), random_gaps((50, N_FEATURES), 0.5, 14)
    values[:, -1] = 100.0  # far outside
    missing[:, -1] = False
    numbers = fitted(*hidden(values, missing)).values[:, len(CARDINALITIES) : -1]
    seen = training[0][:, len(CARDINALITIES) : -1].nan_to_num()
    gaps = missing[:, len(CARDINALITIES) : -1]
    assert (numbers >= seen.amin(dim=0) - 1e-6)[gaps].all()
    assert (numbers <= seen.amax(dim=0) + 1e-6)[gaps].all()


def test_complete_training_tables_still_get_every_round():
    recovery = IterativeRecovery("table", CARDINALITIES, N_NUM, n_rounds=3)
    values = people(200, 15)
    recovery.fit(values, torch.zeros_like(values, dtype=torch.bool))
    assert all(recovery.coefficients[index].abs().sum() > 0 for index in range(3))
    assert (recovery.coefficients[0] == recovery.coefficients[2]).all()


def test_constant_columns_and_unseen_categories():
    values = torch.cat([torch.zeros(40, 1), torch.full((40, 1), 2.5), torch.randn(40, 2)], dim=1)
    recovery = IterativeRecovery("table", [3], 3, n_rounds=2)
    recovery.fit(values, torch.zeros(40, 4, dtype=torch.bool))
    gaps = torch.tensor([[True, True, False, False]])
    assert recovery({"table": values[:1]}, {"table": gaps}).values[0, :2].tolist() == [0.0, 2.5]


def test_weights_are_plain_tensors_and_make_the_same_recovery(fitted, tmp_path):
    save_weights(tmp_path / "iterative.pt", fitted.state_dict())
    copy = IterativeRecovery("table", CARDINALITIES, N_NUM)
    copy.load_state_dict(load_weights(tmp_path / "iterative.pt"))
    values, missing = people(20, 16), random_gaps((20, N_FEATURES), 0.5, 17)
    assert (copy(*hidden(values, missing)).values == fitted(*hidden(values, missing)).values).all()


def test_single_precision_agrees(fitted):
    copy = IterativeRecovery("table", CARDINALITIES, N_NUM)
    copy.load_state_dict(fitted.state_dict())
    values, missing = people(30, 18), random_gaps((30, N_FEATURES), 0.4, 19)
    numbers = [
        recovery(*hidden(values, missing)).values[:, len(CARDINALITIES) :] for recovery in (fitted, copy.float())
    ]
    torch.testing.assert_close(*numbers, atol=1e-4, rtol=0)


def test_fit_is_deterministic(training, fitted):
    again = IterativeRecovery("table", CARDINALITIES, N_NUM)
    again.fit(*training)
    for one, other in itertools.zip_longest(again.state_dict().values(), fitted.state_dict().values()):
        assert (one == other).all()


def test_unsettled_imputation_warns():
    x = torch.randn(200, 1, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(200, 4, generator=torch.Generator().manual_seed(1))
    values = torch.cat([x, x + 0.05 * noise], dim=1)
    missing = random_gaps(values.shape, 0.6, 20)
    recovery = IterativeRecovery("table", [], 5, n_rounds=1)
    with pytest.warns(UserWarning, match=r"'table' still moved by 0\.\d+ in round 1 .*raise n_rounds"):
        recovery.fit(values, missing)


@pytest.mark.parametrize(
    ("cardinalities", "n_num", "n_rounds", "text"),
    [
        ([1], 1, 10, r"a second column to predict from, however: 1 after encoding cat_cardinalities=\[1\]"),
        ([2], 1, 0, "n_rounds must be a positive integer.*0"),
    ],
)
def test_layout_refusals(cardinalities, n_num, n_rounds, text):
    with pytest.raises(ValueError, match=text):
        IterativeRecovery("table", cardinalities, n_num, n_rounds=n_rounds)


def test_unfitted_is_refused():
    with pytest.raises(RuntimeError, match="'iterative' for 'table' is not fitted"):
        IterativeRecovery("table", [2], 1)({"table": torch.zeros(1, 2)}, {"table": torch.tensor([True])})
