"""Weights of the best and of the last epoch, and what is left when the disk is full."""

import math

import pytest
from ignite.engine import Engine, Events
from torch import nn

from dymo_med.handlers import WeightSaver
from dymo_med.utils import load_weights
from tests.handlers.build import disk_of, replay


def network(value=0.0):
    net = nn.Linear(2, 2)
    nn.init.constant_(net.weight, value)
    return net


def validate(saver, net, scores):
    """Run an evaluator once for every score; the weights are the number of the epoch."""
    for epoch, score in enumerate(scores, start=1):
        nn.init.constant_(net.weight, epoch)
        evaluator = Engine(lambda _, batch: batch)
        evaluator.state.key_metric_name = "val_auroc"
        saver.attach(evaluator)
        evaluator.add_event_handler(
            Events.EPOCH_COMPLETED, lambda engine, score: engine.state.metrics.update(val_auroc=score), score
        )
        evaluator.run([0])


def saved_epoch(path):
    return float(load_weights(path)["weight"][0, 0])


@pytest.mark.parametrize(
    ("scores", "best"),
    [([0.6, 0.7, 0.5], 2), ([0.7, 0.7], 1), ([math.nan, 0.2, math.nan], 2), ([0.0], 1), ([-1.0, -0.5], 2)],
)
def test_best_epoch_is_kept(tmp_path, scores, best):
    net = network()
    validate(WeightSaver(net, tmp_path / "models" / "best.pt"), net, scores)
    assert saved_epoch(tmp_path / "models" / "best.pt") == best
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["best.pt"]


def test_undefined_score_is_never_the_best(tmp_path):
    net = network()
    validate(WeightSaver(net, tmp_path / "best.pt"), net, [math.nan, math.nan])
    assert not list(tmp_path.iterdir())


def test_last_epoch_is_written_once_at_the_end(tmp_path):
    net = network()
    trainer = replay(WeightSaver(net, tmp_path / "last.pt", best=False))
    existed = []
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda engine: nn.init.constant_(net.weight, engine.state.epoch))
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _: existed.append((tmp_path / "last.pt").exists()))
    trainer.run([0], max_epochs=3)
    assert existed == [False] * 3
    assert saved_epoch(tmp_path / "last.pt") == 3


def test_full_disk_leaves_the_former_weights(tmp_path):
    net, path = nn.Linear(64, 64), tmp_path / "last.pt"
    nn.init.constant_(net.weight, 1.0)
    saver = WeightSaver(net, path, best=False)
    replay(saver).run([0])
    nn.init.constant_(net.weight, 2.0)
    with disk_of(4096), pytest.raises(OSError, match=r"cannot write last\.pt .*nothing half-written was left"):
        replay(saver).run([0])
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]
    assert saved_epoch(path) == 1
