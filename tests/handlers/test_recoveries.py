"""Fitting of recoveries at the start of a training."""

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from dymo_med.handlers import RecoveryFitter
from dymo_med.networks import with_weights
from dymo_med.recovery import MeanModeRecovery

ITEMS = [
    {"table": np.array([1, 4.0], np.float32), "table_missing": np.array([False, False])},
    {"table": np.array([1, 99.0], np.float32), "table_missing": np.array([False, True])},
    {"table": None, "table_missing": None},
    {"table": np.array([0, 8.0], np.float32), "table_missing": np.array([False, False])},
]


def recovery(digest="ab" * 32):
    return MeanModeRecovery("table", [2], 1, digest)


def test_fitted_before_the_first_epoch_and_written(tmp_path):
    seen = []
    engine = Engine(lambda *_: seen.append((tmp_path / "m.pt").is_file()))
    RecoveryFitter(recovery(), ITEMS, tmp_path / "m.pt").attach(engine)
    engine.run([1, 2], max_epochs=1)
    assert seen == [True, True]
    assert with_weights(recovery(), tmp_path / "m.pt").fill.tolist() == [1.0, 6.0]  # gaps and the absent are not read


def test_weights_of_another_schema_are_refused(tmp_path):
    RecoveryFitter(recovery(), ITEMS, tmp_path / "m.pt")(None)
    with pytest.raises(ValueError, match=r"m.pt was trained with schema abababababab and the cohort has cdcdcdcdcdcd"):
        with_weights(recovery("cd" * 32), tmp_path / "m.pt")


def test_one_process_alone_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("dymo_med.handlers.recoveries.process_rank", lambda: 1)
    RecoveryFitter(recovery(), ITEMS, tmp_path / "m.pt")(None)
    assert not list(tmp_path.iterdir())


def test_nobody_has_a_table(tmp_path):
    with pytest.raises(ValueError, match=r"recovery 'mean_mode' needs .* however: 0 of 1 have one; prepare a cohort"):
        RecoveryFitter(recovery(), ITEMS[2:3], tmp_path / "m.pt")(None)
    assert torch.isnan(recovery().fill).all()
