import pytest
import torch
from monai.data import DataLoader, Dataset

from dymo_med.transforms import SimulateMissingModalitiesd

NAMES = ["m0", "m1", "m2", "m3", "m4"]


def sample(subject="s", absent=()):
    item = {name: torch.ones(2, 3) for name in NAMES} | {"subject_id": subject}
    return item | {f"{name}_missing": torch.tensor(name in absent) for name in NAMES}


def gaps(item):
    return [bool(item[f"{name}_missing"].all()) for name in NAMES]


@pytest.mark.parametrize(("rate", "hidden"), [(0.0, 0), (0.2, 1), (0.4, 2), (0.6, 3), (0.8, 4), (1.0, 4)])
def test_every_sample_loses_the_same_number(rate, hidden):
    hide = SimulateMissingModalitiesd(NAMES, rate=rate, seed=1)
    found = [gaps(hide(sample(f"s{index}"))) for index in range(400)]
    assert {sum(row) for row in found} == {hidden}
    share = torch.tensor(found).float().mean(0)
    torch.testing.assert_close(share, torch.full((5,), hidden / 5), atol=0.07, rtol=0)


def test_hidden_content_is_nan_and_inputs_stay():
    item = sample()
    hidden = SimulateMissingModalitiesd(NAMES, rate=0.6, seed=1)(item)
    for name, is_hidden in zip(NAMES, gaps(hidden), strict=True):
        assert bool(hidden[name].isnan().all()) is bool(hidden[name].isnan().any()) is is_hidden
    assert gaps(item) == [False] * 5
    assert not any(item[name].isnan().any() for name in NAMES)


def test_draw_depends_on_subject_and_seed_alone_and_is_nested():
    def draw(subject, seed=1, rate=0.6):
        return gaps(SimulateMissingModalitiesd(NAMES, rate=rate, seed=seed)(sample(subject)))

    subjects = [f"s{index}" for index in range(30)]
    assert [draw(subject) for subject in subjects] == [draw(subject) for subject in subjects]
    assert [draw(subject) for subject in subjects] != [draw(subject, seed=2) for subject in subjects]
    assert len({tuple(draw(subject)) for subject in subjects}) > 5
    for subject in subjects:
        fewer, more = draw(subject, rate=0.2), draw(subject, rate=0.8)
        assert all(after for before, after in zip(fewer, more, strict=True) if before)


def test_natural_gaps_stay_and_one_modality_is_left():
    for index in range(50):
        item = sample(f"s{index}", absent=("m1", "m2", "m4"))
        found = gaps(SimulateMissingModalitiesd(NAMES, rate=0.8, seed=0)(item))
        assert all(found[index] for index in (1, 2, 4))
        assert sum(found) == 4
    nothing = sample(absent=NAMES)
    assert gaps(SimulateMissingModalitiesd(NAMES, rate=0.8, seed=0)(nothing)) == [True] * 5


def test_mask_of_a_table_is_hidden_as_a_whole():
    item = {"subject_id": "s", "table": torch.ones(4), "table_missing": torch.tensor([True, False, False, False])}
    item |= {"image": torch.ones(1), "image_missing": torch.tensor(False)}
    hidden = [SimulateMissingModalitiesd(["image", "table"], 0.5, seed)(item) for seed in range(20)]
    assert {tuple(each["table_missing"].tolist()) for each in hidden} == {(True, False, False, False), (True,) * 4}


def test_batches_have_mixed_patterns():
    dataset = Dataset([sample(f"s{index}") for index in range(16)], SimulateMissingModalitiesd(NAMES, 0.4, seed=0))
    batch = next(iter(DataLoader(dataset, batch_size=16)))
    missing = torch.stack([batch[f"{name}_missing"] for name in NAMES], 1)
    assert (missing.sum(1) == 2).all()
    assert len(missing.unique(dim=0)) > 3


def test_what_is_absent_is_named():
    hide = SimulateMissingModalitiesd(NAMES, rate=0.4, seed=0)
    item = sample()
    del item["m2_missing"]
    with pytest.raises(KeyError, match="'m2' has no item 'm2_missing': add it first"):
        hide(item)
    item = sample()
    del item["subject_id"]
    with pytest.raises(KeyError, match="no item 'subject_id': add the pseudonym"):
        hide(item)
    with pytest.raises(ValueError, match=r"rate must be between 0 and 1, however: rate=-0.1"):
        SimulateMissingModalitiesd(NAMES, rate=-0.1, seed=0)
