import statistics

import pytest
import torch

from dymo_med.recovery.simple import MeanModeRecovery

CARDINALITIES = [3, 4]


@pytest.fixture
def training():
    generator = torch.Generator().manual_seed(0)
    codes = torch.stack([torch.randint(0, k, (60,), generator=generator) for k in CARDINALITIES], dim=1)
    values = torch.cat([codes.float(), torch.randn(60, 2, generator=generator)], dim=1)
    missing = torch.rand(60, 4, generator=generator) < 0.3
    return values.masked_fill(missing, torch.nan), missing


@pytest.fixture
def fitted(training):
    recovery = MeanModeRecovery("table", CARDINALITIES, 2)
    recovery.fit(*training)
    return recovery


def test_fill_equals_the_statistics_module(fitted, training):
    values, missing = training
    for column in range(4):
        cells = [float(values[row, column]) for row in range(60) if not missing[row, column]]
        if column < 2:
            assert fitted.fill[column] == min(statistics.multimode(cells))
        else:
            assert fitted.fill[column] == pytest.approx(statistics.mean(cells), abs=1e-6)


def test_observed_cells_are_untouched_and_gaps_filled(fitted):
    values = torch.tensor([[2.0, torch.nan, torch.nan, 5.0], [torch.nan] * 4])
    proposal = fitted({"table": values}, {"table": values.isnan()})
    assert proposal.values[0].tolist() == [2.0, float(fitted.fill[1]), float(fitted.fill[2]), 5.0]
    assert (proposal.values[1] == fitted.fill).all()
    assert proposal.available.tolist() == [True, True]
    assert proposal.values.dtype == torch.float32


def test_state_dict_carries_the_fit(fitted):
    copy = MeanModeRecovery("table", CARDINALITIES, 2)
    copy.load_state_dict(fitted.state_dict())
    assert (copy.fill == fitted.fill).all()
    assert not list(copy.parameters())


def test_unfitted_is_refused():
    with pytest.raises(RuntimeError, match="'mean_mode' for 'table' is not fitted: call fit"):
        MeanModeRecovery("table", [2], 1)({"table": torch.zeros(1, 2)}, {"table": torch.tensor([True])})
