import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.transforms import Compose

from dymo_med.transforms import missingness
from dymo_med.transforms.missingness import RandTableCorruptiond, SimulateMissingd

N_COLUMNS = 75


def make_sample(subject, n_columns=N_COLUMNS, gaps=()):
    missing = torch.zeros(n_columns, dtype=torch.bool)
    missing[list(gaps)] = True
    return {
        "subject_id": subject,
        "table": torch.arange(n_columns, dtype=torch.float32),
        "table_missing": missing,
        "image": torch.ones(3, 4, 4),
        "image_missing": torch.tensor(False),
    }


def cohort(n):
    return [make_sample(f"s{index}") for index in range(n)]


def test_hidden_cells_become_nan_and_inputs_stay():
    sample = make_sample("s1", gaps=(0, 5))
    hidden = SimulateMissingd("table", pattern="value", rate=0.3, seed=7)(sample)
    assert hidden["table_missing"][[0, 5]].all()
    assert hidden["table_missing"].sum() == 2 + round(0.3 * 73)
    assert (hidden["table"].isnan() == hidden["table_missing"]).all()
    seen = ~hidden["table_missing"]
    assert (hidden["table"][seen] == sample["table"][seen]).all()
    assert sample["table_missing"].sum() == 2
    assert not sample["table"].isnan().any()


def test_draw_depends_on_subject_seed_and_key_alone():
    samples = cohort(6)
    hide = SimulateMissingd("table", pattern="value", rate=0.5, seed=1)
    first = {sample["subject_id"]: hide(sample)["table_missing"] for sample in samples}
    again = {sample["subject_id"]: hide(sample)["table_missing"] for sample in reversed(samples)}
    assert all((first[subject] == again[subject]).all() for subject in first)
    assert (first["s0"] != first["s1"]).any()
    other = SimulateMissingd("table", pattern="value", rate=0.5, seed=2)(samples[0])["table_missing"]
    assert (first["s0"] != other).any()
    renamed = {"subject_id": "s0", "labs": samples[0]["table"], "labs_missing": samples[0]["table_missing"]}
    by_key = SimulateMissingd("labs", pattern="value", rate=0.5, seed=1)(renamed)["labs_missing"]
    assert (first["s0"] != by_key).any()


def test_draw_is_the_same_in_every_process():
    hidden = SimulateMissingd("table", "value", 0.5, 4)(make_sample("s3", n_columns=9))["table_missing"]
    assert hidden.nonzero().flatten().tolist() == [
        5,
        6,
        7,
        8,
    ]  # written down once; hash() would change with the process


def test_loader_order_does_not_matter():
    hide = Compose([SimulateMissingd("table", pattern="value", rate=0.3, seed=0)])
    batches = []
    for order in (range(4), (2, 0, 3, 1)):
        samples = [cohort(4)[index] for index in order]
        batch = next(iter(DataLoader(Dataset(samples, hide), batch_size=4)))
        batches.append(dict(zip(batch["subject_id"], batch["table_missing"], strict=True)))
    assert all((batches[0][subject] == batches[1][subject]).all() for subject in batches[0])


def test_column_pattern_is_shared_by_all_subjects():
    hide = SimulateMissingd("table", pattern="column", rate=0.3, seed=0)
    masks = [hide(sample)["table_missing"] for sample in cohort(5)]
    assert all((mask == masks[0]).all() for mask in masks)
    assert masks[0].sum() == 22


def test_block_pattern_hides_a_family():
    hide = SimulateMissingd("table", pattern="block", rate=1.0, seed=0, families={"mri": [1, 3]})
    assert hide(make_sample("s1"))["table_missing"].nonzero().flatten().tolist() == [1, 3]


def test_table_pattern_hides_whole_modalities_on_their_own():
    hide = SimulateMissingd(["image", "table"], pattern="table", rate=0.4, seed=0)
    hidden = [hide(sample) for sample in cohort(300)]
    image = torch.stack([sample["image_missing"] for sample in hidden])
    table = torch.stack([sample["table_missing"] for sample in hidden])
    assert image.shape == (300,)
    assert (table.all(dim=1) == table.any(dim=1)).all()
    assert image.float().mean() == pytest.approx(0.4, abs=0.08)
    assert table[:, 0].float().mean() == pytest.approx(0.4, abs=0.08)
    assert (image & table[:, 0]).float().mean() == pytest.approx(0.16, abs=0.06)
    for sample in hidden:
        assert bool(sample["image"].isnan().all()) == bool(sample["image_missing"])
        assert sample["image"].isnan().any() == sample["image_missing"]


def test_numpy_items_stay_numpy():
    sample = {"subject_id": "s1", "table": np.zeros(8, np.float32), "table_missing": np.zeros(8, bool)}
    hidden = SimulateMissingd("table", pattern="value", rate=0.5, seed=0)(sample)
    assert isinstance(hidden["table"], np.ndarray)
    assert isinstance(hidden["table_missing"], np.ndarray)
    assert hidden["table_missing"].dtype == np.bool_
    assert np.isnan(hidden["table"]).sum() == 4
    assert not np.isnan(sample["table"]).any()


def test_absent_keys_are_allowed_on_request():
    hide = SimulateMissingd(["table", "ecg"], pattern="value", rate=0.5, seed=0, allow_missing_keys=True)
    assert "ecg" not in hide(make_sample("s1"))


@pytest.mark.parametrize(
    ("options", "items", "error", "text"),
    [
        ({"rate": 2}, {}, ValueError, "rate must be between 0 and 1.*2"),
        ({"pattern": "cells"}, {}, ValueError, "pattern must be one of.*'cells'"),
        ({}, {"subject_id": None}, KeyError, "no item 'subject_id': add the pseudonym"),
        ({}, {"table_missing": None}, KeyError, "'table' has no item 'table_missing'"),
        ({"keys": "image"}, {}, ValueError, r"'value' needs a mask of shape \(F,\).*image_missing.shape=\(\)"),
        (
            {"pattern": "table"},
            {"table_missing": torch.zeros(2, 75, dtype=torch.bool)},
            ValueError,
            r"\(F,\) of one subject or \(\), however: table_missing.shape=\(2, 75\)",
        ),
        ({}, {"table_missing": torch.zeros(75)}, TypeError, "missing must be boolean.*float32"),
        ({}, {"table": torch.zeros(75, dtype=torch.int64)}, TypeError, "'table' must be floating point.*int64"),
        ({}, {"table": torch.zeros(74)}, ValueError, r"one shape.*table.shape=\(74,\), table_missing.shape=\(75,\)"),
    ],
)
def test_refusals(options, items, error, text):
    sample = {key: value for key, value in {**make_sample("s1"), **items}.items() if value is not None}
    with pytest.raises(error, match=text):
        SimulateMissingd(**{"keys": "table", "pattern": "value", "rate": 0.5, "seed": 0, **options})(sample)


@pytest.fixture
def training_values():
    rng = np.random.default_rng(0)
    values = (
        1000.0 + np.arange(N_COLUMNS) * 10 + rng.integers(0, 5, (30, N_COLUMNS))
    )  # column c holds 1000 + 10 c + 0..4
    values[rng.random(values.shape) < 0.3] = np.nan
    return values


def test_corruption_replaces_22_of_75_by_values_of_the_same_column(training_values):
    corrupt = RandTableCorruptiond("table", training_values).set_random_state(seed=0)
    sample = make_sample("s1")
    changed = corrupt(sample)["table"]
    differs = (changed != sample["table"]).nonzero().flatten().tolist()
    assert len(differs) == 22
    for column in differs:
        assert changed[column].item() in training_values[:, column]
    assert (sample["table"] == torch.arange(N_COLUMNS)).all()


def test_corruption_draws_the_marginal():
    values = np.array([[1.0], [1.0], [1.0], [2.0], [np.nan]])
    corrupt = RandTableCorruptiond("t", values, rate=1.0).set_random_state(seed=0)
    missing = torch.zeros(1, dtype=torch.bool)
    draws = torch.cat([corrupt({"t": torch.zeros(1), "t_missing": missing})["t"] for _ in range(400)])
    assert set(draws.tolist()) == {1.0, 2.0}
    assert (draws == 1).float().mean() == pytest.approx(0.75, abs=0.07)


def test_corruption_leaves_absent_cells(training_values):
    sample = make_sample("s1", gaps=range(0, N_COLUMNS, 2))
    sample["table"][sample["table_missing"]] = torch.nan
    changed = RandTableCorruptiond("table", training_values, rate=1.0).set_random_state(seed=0)(sample)
    assert (changed["table"].isnan() == sample["table_missing"]).all()
    assert (changed["table"][1::2] >= 1000).all()
    assert (changed["table_missing"] == sample["table_missing"]).all()


def test_corruption_is_seeded_and_random(training_values):
    sample = make_sample("s1")
    views = []
    for seed in (3, 3, 4):
        corrupt = RandTableCorruptiond("table", training_values).set_random_state(seed=seed)
        views.append([corrupt(sample)["table"] for _ in range(2)])
    assert (views[0][0] == views[1][0]).all()
    assert (views[0][1] == views[1][1]).all()
    assert (views[0][0] != views[0][1]).any()
    assert (views[0][0] != views[2][0]).any()


def test_corruption_happens_with_its_probability(training_values):
    sample = make_sample("s1")
    corrupt = RandTableCorruptiond("table", training_values, prob=0.25).set_random_state(seed=0)
    hits = [bool((corrupt(sample)["table"] != sample["table"]).any()) for _ in range(300)]
    assert np.mean(hits) == pytest.approx(0.25, abs=0.08)


@pytest.mark.parametrize(
    ("options", "items", "error", "text"),
    [
        ({"rate": -1}, {}, ValueError, "rate must be between 0 and 1.*-1"),
        ({"prob": 3}, {}, ValueError, "prob must be between 0 and 1.*3"),
        ({"training_values": np.zeros(4)}, {}, ValueError, r"training_values must have shape \(N, F\).*\(4,\)"),
        ({"training_values": [[1.0, np.nan]]}, {}, ValueError, r"columns \[1\] have none"),
        ({}, {"table_missing": None}, KeyError, "'table' has no item 'table_missing'"),
        ({}, {"table": torch.zeros(3)}, ValueError, r"table must have shape \(75\).*\(3,\)"),
        ({}, {"table_missing": torch.zeros(75)}, TypeError, "table_missing must be boolean.*float32"),
    ],
)
def test_corruption_refusals(training_values, options, items, error, text):
    sample = {key: value for key, value in {**make_sample("s1"), **items}.items() if value is not None}
    with pytest.raises(error, match=text):
        RandTableCorruptiond(**{"keys": "table", "training_values": training_values, **options})(sample)


def test_aliases_follow_the_framework():
    assert missingness.SimulateMissingD is missingness.SimulateMissingDict is SimulateMissingd
    assert missingness.RandTableCorruptionD is missingness.RandTableCorruptionDict is RandTableCorruptiond
