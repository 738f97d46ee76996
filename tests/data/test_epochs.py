"""Draws of a data set that depend on seed, epoch and sample alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import DataLoader, DistributedSampler
from monai.transforms import Compose, OneOf, RandAffined, RandFlipd, RandScaleIntensityd

from dymo_med.data.epochs import SeededDataset
from dymo_med.data.frames import write_frames
from dymo_med.handlers import EpochSeed
from dymo_med.transforms import LoadOrMissingd, RandSimilarityd, RandTableCorruptiond


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


def test_worker_processes_draw_every_epoch_as_one_process_does():
    """They are copies of the data set, so the epoch must be named before they are made, each time."""

    def epochs(n_workers):
        data, found = data_set(), []
        engine = Engine(lambda _, batch: found.append(batch["image"].clone()))
        EpochSeed(1, [data]).attach(engine)
        engine.run(DataLoader(data, batch_size=4, num_workers=n_workers), max_epochs=2)
        return torch.stack(found)

    alone, shared = epochs(0), epochs(2)
    assert torch.equal(alone, shared)
    assert not torch.equal(alone[:2], alone[2:])


def own_memory_mib():
    """Memory of this process that no file on disk stands behind, so that it cannot be dropped."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    (line,) = [line for line in lines if line.startswith("Anonymous:")]
    return int(line.split()[1]) / 1024


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").is_file(), reason="needs Linux")
def test_memory_does_not_grow_with_the_images(tmp_path):
    """1,200 images of 38 MiB as float32; a cache of any kind would hold most of them after an epoch."""
    sources = {}
    for number in range(1200):
        sources[f"S{number}"] = tmp_path / f"{number}.txt"
        sources[f"S{number}"].write_text(str(number))

    def read(source):
        return np.full((3, 52, 52), int(source.read_text()) / 1200, np.float32), {}

    store = write_frames(tmp_path / "frames", sources, read=read, shape=(3, 52, 52), settings={})
    load = LoadOrMissingd("image", reader=store.read, shape=store.shape)
    move = RandSimilarityd("image", rotate_range=0.5)
    data = SeededDataset([{"image": subject} for subject in sources], [load, move], seed=1)
    memory, total = [], 0.0
    for step, batch in enumerate(DataLoader(data, batch_size=16)):
        total += float(batch["image"].mean())
        if step in (18, 74):
            memory.append(own_memory_mib())
    assert total > 0
    assert memory[1] - memory[0] < 6
