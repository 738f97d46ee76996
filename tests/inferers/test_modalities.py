"""Batches of any modalities, dropout of modalities, draws of a multimodal VAE."""

import pytest
import torch

from dymo_med.inferers import ModDropInferer, MoPoEInferer, PrepareModalities
from dymo_med.selection import Fused

NAMES = ["m0", "m1", "m2", "m3", "m4"]


def batch(n=4, label=True):
    items = {name: torch.full((n, 2), float(index)) for index, name in enumerate(NAMES)}
    items |= {f"{name}_missing": torch.arange(n) == index for index, name in enumerate(NAMES)}
    return items | ({"label": torch.arange(n)} if label else {})


def test_inputs_are_sorted_by_name():
    items = batch()
    first, label, args, kwargs = PrepareModalities(NAMES)(items, "cpu", True)
    assert first is items["m0"]
    assert label is items["label"]
    assert args == ()
    assert set(kwargs) == {*NAMES[1:], *(f"{name}_missing" for name in NAMES)}
    assert all(kwargs[name] is items[name] for name in kwargs)


def test_label_may_be_absent_and_tensors_move():
    first, label, _, kwargs = PrepareModalities(NAMES)(batch(label=False), torch.device("meta"))
    assert label is None
    assert {first.device.type, *(tensor.device.type for tensor in kwargs.values())} == {"meta"}


def test_what_a_batch_lacks_is_named():
    items = batch()
    del items["m1"], items["m3_missing"]
    with pytest.raises(KeyError, match=r"it lacks \['m1', 'm3_missing'\]; load every modality"):
        PrepareModalities(NAMES)(items)
    with pytest.raises(ValueError, match=r"at least one modality, however: modalities=\[\]"):
        PrepareModalities([])


class Recorder:
    """Stands in for a network and keeps what it was called with."""

    def __call__(self, first, *, subsets, **kwargs):
        self.subsets, self.kwargs = subsets, kwargs
        return Fused(torch.zeros(1, len(first), 2), torch.zeros(1, len(first), 2))


def test_sizes_of_what_is_kept_are_those_of_the_publication():
    dropped = ModDropInferer(NAMES, seed=0).draw(torch.zeros(40_000, 5, dtype=torch.bool))
    share = (5 - dropped.sum(1)).bincount(minlength=6) / len(dropped)
    expected = torch.tensor([0, 0.1875, 0.3125, 0.3125, 0.15625, 0.03125])
    torch.testing.assert_close(share, expected, atol=0.01, rtol=0)
    torch.testing.assert_close(dropped.float().mean(0), dropped.float().mean().expand(5), atol=0.01, rtol=0)


@pytest.mark.parametrize("prob", [0.0, 0.5, 1.0])
def test_something_that_was_observed_is_always_left(prob):
    absent = torch.rand(500, 5, generator=torch.Generator().manual_seed(0)) < 0.6
    absent[:, 2] &= ~absent.all(1)
    dropped = ModDropInferer(NAMES, prob, seed=1).draw(absent)
    assert not (dropped | absent).all(1).any()
    if prob == 1:
        kept = ~(dropped | absent)
        assert (kept.sum(1) == 1).all()
        assert not (kept & absent).any()
        assert (kept.sum(0) > 50).all()
    if prob == 0:
        assert not dropped.any()


def test_network_sees_gaps_and_drops_once_with_everything():
    network, inferer = Recorder(), ModDropInferer(NAMES, 0.5, seed=3)
    first, _, _, kwargs = PrepareModalities(NAMES)(batch())
    inferer(first, network, **kwargs)
    inferer.set_epoch(1)
    absent = torch.stack([kwargs[f"{name}_missing"] for name in NAMES], 1)
    expected = ModDropInferer(NAMES, 0.5, seed=3).draw(absent) | absent
    inferer = ModDropInferer(NAMES, 0.5, seed=3)
    inferer(first, network, **kwargs)
    found = torch.stack([network.kwargs[f"{name}_missing"] for name in NAMES], 1)
    assert torch.equal(found, expected)
    assert network.subsets.tolist() == [[True] * 5]
    assert all(network.kwargs[name] is kwargs[name] for name in NAMES[1:])


def test_mask_of_a_table_keeps_its_shape():
    network = Recorder()
    missing = torch.zeros(3, 4, dtype=torch.bool)
    missing[1, 2] = True
    kwargs = {"table": torch.zeros(3, 4), "image_missing": torch.zeros(3, dtype=torch.bool), "table_missing": missing}
    ModDropInferer(["image", "table"], 0.0)(torch.zeros(3, 1), network, **kwargs)
    assert torch.equal(network.kwargs["table_missing"], missing)


def test_probability_is_checked():
    with pytest.raises(ValueError, match=r"prob must be between 0 and 1, however: prob=1.1"):
        ModDropInferer(NAMES, 1.1)


@pytest.mark.parametrize(
    "draw",
    [
        lambda seed: _epochs(ModDropInferer(NAMES, seed=seed), lambda it: it.draw(torch.zeros(9, 5) > 0)),
        lambda seed: _epochs(MoPoEInferer(NAMES, 4, seed=seed), lambda it: it.draw_components(40)),
    ],
)
def test_draws_follow_from_seed_and_epoch(draw):
    first, again, other = draw(1), draw(1), draw(2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], other[0])


def _epochs(inferer, draw):
    found = []
    for epoch in (1, 2):
        draw(inferer)
        inferer.set_epoch(epoch)
        found.append(draw(inferer))
    return found


def test_every_subset_gives_as_many_latent_vectors():
    counts = MoPoEInferer(NAMES, 4, seed=0).draw_components(100).bincount(minlength=31)
    assert set(counts.tolist()) == {3, 4}
