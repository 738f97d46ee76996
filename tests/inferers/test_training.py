"""Inferers of training: what is drawn, what is hidden, what is encoded."""

import pytest
import torch

from dymo_med.inferers import SubsetInferer, TIPPretrainingInferer
from dymo_med.losses import PrototypeLoss, TIPLoss
from tests.networks import build, weights
from tests.processes import in_processes


def without_nan(kinds):
    inputs = build.batch(kinds)
    return {**inputs, "image": inputs["image"].nan_to_num(), "table": inputs["table"].nan_to_num()}


class Recorder:
    """Stands in for a network and keeps what it was called with."""

    def __init__(self):
        self.subsets, self.arguments = [], None

    def __call__(self, *args, subsets, **kwargs):
        self.subsets.append(subsets)
        self.arguments = args, kwargs


def test_different_subsets_are_drawn_each_time():
    network, inferer = Recorder(), SubsetInferer(4, n_subsets=5, seed=3)
    for _ in range(60):
        inferer(torch.zeros(1), network, "table", image_missing="mask")
    assert network.arguments[0][1:] == ("table",)
    assert network.arguments[1] == {"image_missing": "mask"}
    drawn = [sorted(map(tuple, subsets.tolist())) for subsets in network.subsets]
    assert all(len(set(subsets)) == 5 and all(map(any, subsets)) for subsets in drawn)
    assert len({subset for subsets in drawn for subset in subsets}) == 15
    assert len(set(map(tuple, drawn))) > 30


def test_seed_repeats_the_draws_and_leaves_the_global_state():
    before = torch.get_rng_state()
    recorders = []
    for seed in (1, 1, 2):
        recorder, inferer = Recorder(), SubsetInferer(3, n_subsets=2, seed=seed)
        for _ in range(8):
            inferer(torch.zeros(1), recorder)
        recorders.append(torch.stack(recorder.subsets))
    assert torch.equal(recorders[0], recorders[1])
    assert not torch.equal(recorders[0], recorders[2])
    assert torch.equal(torch.get_rng_state(), before)


def test_validation_takes_all_subsets():
    network, _ = build.classifier()
    inputs = without_nan(build.MIXED)
    with torch.no_grad():
        result = SubsetInferer(2)(inputs.pop("image"), network, **inputs)
    assert result.logits.shape == (3, 6, 3)
    assert result.embedding.shape == (3, 6, 6)


def test_a_step_encodes_once_and_trains_both_encoders():
    network, _ = build.classifier()
    passes = [build.count_passes(network.encoders[name]) for name in network.modalities]
    inputs = without_nan([(True, "whole"), (True, "part"), (False, "whole")])
    loss = PrototypeLoss().double()
    loss.prototypes = network.prototypes
    result = SubsetInferer(2, n_subsets=3)(inputs.pop("image"), network, **inputs)
    value = loss(result, torch.tensor([0, 1, 2]))
    value.backward()
    assert passes == [[2], [3]]
    assert value.isfinite()
    for name in network.modalities:
        gradients = [parameter.grad for parameter in network.encoders[name].parameters()]
        assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
        assert all(gradient is None or gradient.isfinite().all() for gradient in gradients)


def test_too_many_subsets_are_refused():
    with pytest.raises(ValueError, match=r"n_subsets must be at most 3, .* 2 modalities, however: n_subsets=4"):
        SubsetInferer(2, n_subsets=4)


@pytest.mark.parametrize(("rate", "n_hidden"), [(0.5, 3), (0.0, 0), (0.2, 1), (1.0, 6)])
def test_pretraining_hides_a_share_of_the_columns(rate, n_hidden):
    seen = {}

    def network(image, table, missing, *, corrupted, hidden):
        seen.update(table=table, missing=missing, corrupted=corrupted, hidden=hidden)
        return {"image_projection": image}

    inputs = without_nan([(True, "part")] * 40)
    corrupted = torch.as_tensor(build.rows(40, seed=8))
    inferer = TIPPretrainingInferer(rate, seed=1)
    arguments = {"table": inputs["table"], "table_missing": inputs["table_missing"], "table_corrupted": corrupted}
    output = inferer(inputs["image"], network, **arguments)
    assert (seen["hidden"].sum(1) == n_hidden).all()
    assert torch.equal(output["scored"], seen["hidden"] & ~inputs["table_missing"])
    assert torch.equal(output["table"], inputs["table"])
    assert torch.equal(seen["corrupted"], corrupted)
    if 0 < rate < 1:
        assert seen["hidden"].any(0).all()
        first = seen["hidden"]
        inferer(inputs["image"], network, **arguments)
        assert not torch.equal(seen["hidden"], first)


def test_pretraining_step_trains_all_parts():
    network, _ = build.tip()
    inputs = without_nan([(True, "whole"), *[(True, "part")] * 3])
    output = TIPPretrainingInferer()(
        inputs["image"],
        network,
        table=inputs["table"],
        table_missing=inputs["table_missing"],
        table_corrupted=torch.as_tensor(build.rows(4, seed=8)),
    )
    loss = TIPLoss(weights.CARDINALITIES)(output)
    loss.backward()
    assert loss.isfinite()
    idle = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert idle == []


def test_pretraining_refuses_a_rate_outside_its_range():
    with pytest.raises(ValueError, match=r"hidden_rate must be between 0 and 1, however: hidden_rate=1.5"):
        TIPPretrainingInferer(hidden_rate=1.5)


def test_hidden_rate_can_be_drawn_anew_for_every_row():
    """A pair (low, high) gives every row its own share, from nearly half to the whole table."""
    seen = []

    def network(image, table, missing, *, corrupted, hidden):
        seen.append(hidden)
        return {}

    table = torch.zeros(400, 20)
    kwargs = {"table": table, "table_missing": torch.zeros(400, 20, dtype=torch.bool), "table_corrupted": table}
    TIPPretrainingInferer(hidden_rate=[0.5, 1.0])(torch.zeros(400, 1), network, **kwargs)
    counts = seen[0].sum(1)
    assert counts.min() == 10
    assert counts.max() == 20
    assert 14 < counts.float().mean() < 16
    with pytest.raises(ValueError, match=r"hidden_rate must be a pair \(low, high\) in order, however: .*0.9, 0.5"):
        TIPPretrainingInferer(hidden_rate=[0.9, 0.5])


def subsets_of_epochs(inferer, epochs):
    network = Recorder()
    for epoch in epochs:
        inferer.set_epoch(epoch)
        for _ in range(4):
            inferer(torch.zeros(1), network)
    return torch.stack(network.subsets).reshape(len(epochs), -1)


def test_subsets_of_an_epoch_depend_on_seed_and_epoch_alone():
    first = subsets_of_epochs(SubsetInferer(4, n_subsets=3, seed=1), [1, 2, 3])
    again = subsets_of_epochs(SubsetInferer(4, n_subsets=3, seed=1), [3, 1])
    assert torch.equal(again, first[[2, 0]])
    assert len({tuple(epoch) for epoch in first.tolist()}) == 3
    assert not torch.equal(subsets_of_epochs(SubsetInferer(4, n_subsets=3, seed=2), [1]), first[:1])


def hidden_cells(inferer, n_rows, epoch):
    seen = []
    table = torch.zeros(n_rows, 12)
    kwargs = {"table": table, "table_missing": table.bool(), "table_corrupted": table}
    inferer.set_epoch(epoch)
    for _ in range(2):
        inferer(torch.zeros(n_rows, 1), lambda *_, hidden, **__: seen.append(hidden) or {}, **kwargs)
    return torch.stack(seen)


def test_processes_hide_what_one_would_hide(tmp_path):
    """Rank r of N has every N-th row of the batch."""
    whole = hidden_cells(TIPPretrainingInferer([0.2, 0.9], seed=3), 6, epoch=2)
    found = in_processes(
        lambda _: hidden_cells(TIPPretrainingInferer([0.2, 0.9], seed=3), 3, epoch=2), tmp_path / "store"
    )
    for rank, part in enumerate(found):
        assert (torch.as_tensor(part) == whole[:, rank::2]).all()
    assert not torch.equal(whole, hidden_cells(TIPPretrainingInferer([0.2, 0.9], seed=3), 6, epoch=3))
