"""Prototypes and class statistics, against plain loops over everything that was seen."""

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events

from dymo_med.handlers import ClassStatisticsFitter, PrototypeUpdater
from dymo_med.losses import PrototypeLoss
from dymo_med.utils import load_weights, save_weights
from tests.handlers.build import network, random_fused, replay
from tests.processes import in_processes
from tests.selection.oracle import fit_statistics, subsets_of

N_CLASSES, DIM = 3, 4


def output(generator, labels, nan_share=0.0):
    return {
        "pred": random_fused(generator, 2, len(labels), N_CLASSES, DIM, nan_share),
        "label": torch.tensor(labels),
    }


def mean_of_class(batches, label):
    """Mean over every row of every subset and batch with that label; rows with nan never existed."""
    rows = []
    for batch in batches:
        for subset in batch["pred"].embedding.numpy():
            rows += [row for row, found in zip(subset, batch["label"].tolist(), strict=True) if found == label]
    rows = [row.astype(np.float64) for row in rows if not np.isnan(row).any()]
    return sum(rows) / len(rows)


@pytest.mark.parametrize("nan_share", [0.0, 0.4])
def test_prototype_is_the_mean_of_the_epoch(nan_share):
    generator = torch.Generator().manual_seed(3)
    batches = [output(generator, labels, nan_share) for labels in ([0, 1, 2, 2, 1], [0, 0, 1, 2, 2], [1, 0])]
    net, loss = network(), PrototypeLoss()
    replay(PrototypeUpdater(net, loss)).run(batches, max_epochs=1)
    for label in range(N_CLASSES):
        np.testing.assert_allclose(net.prototypes[label].numpy(), mean_of_class(batches, label), rtol=1e-6)


def test_prototypes_are_those_of_the_samples_of_all_processes(tmp_path):
    """Class 2 is seen by the second process alone, in fewer batches than the first has."""
    generator = torch.Generator().manual_seed(3)
    batches = [output(generator, labels, 0.3) for labels in ([0, 1, 0, 0], [1, 1, 0], [1, 0, 2, 2, 2])]

    def prototypes(part):
        net = network()
        replay(PrototypeUpdater(net, PrototypeLoss())).run(part, max_epochs=1)
        return net.prototypes

    found = in_processes(lambda rank: prototypes([batches[:2], batches[2:]][rank]), tmp_path / "store")
    for part in found:
        np.testing.assert_allclose(part, prototypes(batches), rtol=1e-6)


def test_only_the_last_epoch_counts():
    generator = torch.Generator().manual_seed(4)
    epochs = [[output(generator, [0, 1, 2])], [output(generator, [2, 1, 0])]]
    net = network()
    engine = Engine(lambda engine, _: epochs[engine.state.epoch - 1][0])
    PrototypeUpdater(net, PrototypeLoss()).attach(engine)
    engine.run([0], max_epochs=2)
    for label in range(N_CLASSES):
        np.testing.assert_allclose(net.prototypes[label].numpy(), mean_of_class(epochs[1], label), rtol=1e-6)


def test_class_that_was_not_seen_keeps_its_prototype():
    generator = torch.Generator().manual_seed(5)
    net = network()
    net.prototypes.copy_(torch.arange(N_CLASSES * DIM).reshape(N_CLASSES, DIM))
    before = net.prototypes.clone()
    batch = output(generator, [0, 2, 0])
    batch["pred"].embedding[:, 1] = torch.nan  # the only sample of class 2 lacks everything
    replay(PrototypeUpdater(net, PrototypeLoss())).run([batch], max_epochs=1)
    assert torch.equal(net.prototypes[1:], before[1:])
    assert not torch.equal(net.prototypes[0], before[0])


def test_prototypes_rest_within_an_epoch_and_the_loss_waits_for_its_first_epoch():
    generator = torch.Generator().manual_seed(6)
    batches = [output(generator, [0, 1, 2]) for _ in range(2)]
    net, loss = network(), PrototypeLoss()
    engine = replay(PrototypeUpdater(net, loss, start_epoch=2))
    seen = []
    engine.add_event_handler(
        Events.ITERATION_COMPLETED, lambda _: seen.append((loss.prototypes is not None, net.prototypes.clone()))
    )
    engine.run(batches, max_epochs=4)
    assert [is_used for is_used, _ in seen] == [False] * 4 + [True] * 4
    assert loss.prototypes is net.prototypes
    for first, second in zip(seen[::2], seen[1::2], strict=True):
        assert torch.equal(first[1], second[1])
    assert not torch.equal(seen[0][1], seen[2][1])


class Training:
    """Batches of two tables with labels, some rows without the one or the other."""

    def __init__(self, n_batches=4, size=7, labels=N_CLASSES):
        generator = torch.Generator().manual_seed(7)
        self.batches = []
        for _ in range(n_batches):
            tables = [self.table(generator, size) for _ in range(2)]
            missing = torch.rand(size, 2, generator=generator) < 0.3
            missing[missing.all(1)] = False
            self.batches.append((tables, missing, torch.randint(labels, (size,), generator=generator)))

    def table(self, generator, size):
        return torch.cat(
            [torch.randint(2, (size, 1), generator=generator), torch.randn(size, 1, generator=generator)], 1
        )

    def split(self, batch, device, non_blocking):
        """As a prepare_batch of an engine."""
        assert not non_blocking
        (labs, vitals), missing, label = batch
        named = {"labs_missing": missing[:, 0].to(device), "vitals_missing": missing[:, 1].to(device)}
        return labs.to(device), label.to(device), (vitals.to(device),), named

    @torch.no_grad()
    def features(self, net):
        """Per subset features and labels of all samples of which a part was observed, one sample at a time."""
        found = {subset: ([], []) for subset in subsets_of(2)}
        for (labs, vitals), missing, label in self.batches:
            for row in range(len(label)):
                args = (labs[row : row + 1], vitals[row : row + 1])
                masks = {"labs_missing": missing[row : row + 1, 0], "vitals_missing": missing[row : row + 1, 1]}
                fused = net(*args, **masks, subsets=net.subsets)
                for subset, embedding in zip(subsets_of(2), fused.embedding, strict=True):
                    if not all(missing[row, modality] for modality in subset):
                        found[subset][0].append(embedding[0].numpy())
                        found[subset][1].append(int(label[row]))
        return found


@pytest.mark.parametrize("metric", ["cosine", "squared_euclidean"])
def test_class_statistics_equal_two_passes_over_the_features(tmp_path, metric):
    torch.manual_seed(8)
    training, best, net = Training(), network(metric), network(metric)
    best.prototypes.fill_(0.25)
    save_weights(tmp_path / "best.pt", best.state_dict())
    fitter = ClassStatisticsFitter(
        net, training.batches, training.split, torch.device("cpu"), tmp_path / "best.pt", tmp_path / "model.pt"
    )
    replay(fitter).run([0], max_epochs=1)
    assert not net.training
    statistics = net.statistics
    means = []
    for index, (subset, (features, labels)) in enumerate(training.features(best.eval()).items()):
        expected = fit_statistics({subset: np.stack(features)}, labels, N_CLASSES, metric)
        np.testing.assert_allclose(statistics.prototypes[index], expected.prototypes[0], atol=1e-6)
        np.testing.assert_allclose(statistics.std[index], expected.std[0], atol=2e-4)
        means.append(expected.overall)
    np.testing.assert_allclose(statistics.overall, sum(means) / len(means), atol=1e-6)

    written = load_weights(tmp_path / "model.pt")
    assert bool(written["statistics.is_fitted"])
    assert torch.equal(written["statistics.std"], statistics.std)
    unfitted = {name: value for name, value in best.state_dict().items() if not name.startswith("statistics.")}
    for name, value in unfitted.items():
        assert torch.equal(written[name], value), name


def test_statistics_need_the_best_weights(tmp_path):
    training = Training(n_batches=1)
    fitter = ClassStatisticsFitter(
        network(), training.batches, training.split, torch.device("cpu"), tmp_path / "best.pt", tmp_path / "model.pt"
    )
    with pytest.raises(FileNotFoundError, match=r"no weights at .*best\.pt: train the bundle first"):
        replay(fitter).run([0], max_epochs=1)
    assert not (tmp_path / "model.pt").exists()


def test_class_without_a_training_sample_is_refused_and_nothing_written(tmp_path):
    training, net = Training(labels=2), network()
    save_weights(tmp_path / "best.pt", net.state_dict())
    fitter = ClassStatisticsFitter(
        net, training.batches, training.split, torch.device("cpu"), tmp_path / "best.pt", tmp_path / "model.pt"
    )
    with pytest.raises(ValueError, match=r"class 2 has none that holds modalities \[0\]; train on more subjects"):
        replay(fitter).run([0], max_epochs=1)
    assert not (tmp_path / "model.pt").exists()
