"""Draws of a data set that depend on seed, epoch and sample alone."""

import pytest
import torch
from monai.data import DataLoader, DistributedSampler
from monai.transforms import Compose, OneOf, RandAffined, RandFlipd, RandScaleIntensityd

from dymo_med.data.epochs import SeededDataset
from dymo_med.transforms import RandTableCorruptiond


def data_set(seed=3, n=8):
    generator = torch.Generator().manual_seed(0)
    items = [
        {
            "image": torch.rand(3, 8, 8, generator=generator),
            "table": torch.zeros(6),
            "table_missing": torch.zeros(6, dtype=torch.bool),
        }
        for _ in range(n)
    ]
    transforms = [
        RandAffined("image", prob=0.9, rotate_range=0.8, padding_mode="border"),
        Compose([RandScaleIntensityd("image", factors=0.3, prob=0.9)]),
        OneOf([Compose([RandFlipd("image", 0.5)]), lambda item: item], weights=[0.5, 0.5]),
        RandTableCorruptiond("table", torch.arange(60.0).reshape(10, 6), rate=0.5),
    ]
    return SeededDataset(items, transforms, seed=seed)


def drawn(data, index):
    return torch.cat([data[index]["image"].flatten(), data[index]["table"]])


def test_draws_do_not_depend_on_what_was_drawn_before():
    first, second = data_set(), data_set()
    torch.manual_seed(1)
    forward = [drawn(first, index) for index in range(8)]
    torch.manual_seed(2)
    backward = [drawn(second, index) for index in reversed(range(8))][::-1]
    assert all(torch.equal(one, other) for one, other in zip(forward, backward, strict=True))


def test_draws_differ_between_samples_epochs_and_seeds():
    data = data_set()
    found = [drawn(data, 0), drawn(data, 1), drawn(data_set(seed=4), 0)]
    data.set_epoch(1)
    found.append(drawn(data, 0))
    for one in range(4):
        for other in range(one):
            assert not torch.equal(found[one], found[other])
    data.set_epoch(0)
    assert torch.equal(drawn(data, 0), found[0])


def test_transforms_do_not_draw_the_same():
    """They share a stream; a state of equal seeds for each would tie the draws of one to those of the next."""
    transforms = [RandScaleIntensityd(key, factors=0.5, prob=1.0) for key in ("a", "b")]
    data = SeededDataset([{"a": torch.ones(1), "b": torch.ones(1)}] * 100, transforms, seed=1)
    drawn = torch.tensor([[float(item["a"]), float(item["b"])] for item in data]).T
    assert abs(float(torch.corrcoef(drawn)[0, 1])) < 0.3
    assert drawn.unique().numel() > 190


@pytest.mark.parametrize("n_workers", [0, 2])
def test_order_and_draws_of_an_epoch_are_those_of_any_number_of_processes(n_workers):
    """Rank r of N takes every N-th sample of the order of one process, so that their batches together are its batch."""

    def batches(rank, n, batch_size):
        data = data_set()
        data.set_epoch(5)
        sampler = DistributedSampler(data, num_replicas=n, rank=rank, seed=1, drop_last=True)
        sampler.set_epoch(5)
        return list(DataLoader(data, batch_size=batch_size, sampler=sampler, num_workers=n_workers))

    whole, parts = batches(0, 1, 4), [batches(rank, 2, 2) for rank in (0, 1)]
    assert len(whole) == 2
    for step, batch in enumerate(whole):
        for key in ("image", "table"):
            assert torch.equal(batch[key][0::2], parts[0][step][key])
            assert torch.equal(batch[key][1::2], parts[1][step][key])
