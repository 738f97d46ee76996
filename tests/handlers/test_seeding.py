"""Random states of epochs, and early stopping that can be stored."""

import random

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events

from dymo_med.handlers import EarlyStop, EpochSeed, WeightSaver
from tests.processes import in_processes


class Follower:
    def __init__(self):
        self.epochs = []

    def set_epoch(self, epoch):
        self.epochs.append(epoch)


def draws_of(seed, n_epochs, spoil=0):
    """One draw of each generator in every epoch; ``spoil`` more of them between the epochs."""
    found, follower = [], Follower()

    def step(engine, _):
        found.append((random.random(), np.random.rand(), torch.rand(()).item()))  # noqa: NPY002 - what libraries use
        for _ in range(spoil):
            random.random(), np.random.rand(), torch.rand(())  # noqa: NPY002

    engine = Engine(step)
    EpochSeed(seed, [follower]).attach(engine)
    engine.run([0], max_epochs=n_epochs)
    assert follower.epochs == list(range(1, n_epochs + 1))
    return found


def test_every_epoch_has_draws_of_its_own_whatever_was_drawn_before():
    random.seed(0)
    first, spoiled, other = draws_of(1, 3), draws_of(1, 3, spoil=2), draws_of(2, 3)
    assert first == spoiled
    assert len({*first, *other}) == 6
    assert len({value for draw in first for value in draw}) == 9


def test_processes_draw_differently(tmp_path):
    first, second = in_processes(lambda _: draws_of(1, 2), tmp_path / "store")
    assert not {value for draw in first for value in draw} & {value for draw in second for value in draw}


def test_seed_is_what_is_stored():
    handler = EpochSeed(5, [])
    handler.load_state_dict(EpochSeed(7, []).state_dict())
    assert handler.state_dict() == {"seed": 7}


def validator(scores):
    """An evaluator whose key metric takes the given values, one a run."""
    engine = Engine(lambda *_: None)
    engine.state.key_metric_name = "auroc"
    left = iter(scores)
    engine.add_event_handler(Events.EPOCH_STARTED, lambda: engine.state.metrics.update(auroc=next(left)))
    return engine


def run_until_stop(early_stop, scores):
    """Number of epochs until the trainer is stopped."""
    evaluator = validator(scores)
    early_stop.attach(evaluator)
    trainer = Engine(lambda *_: None)
    early_stop.set_trainer(trainer)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run([0]))
    return trainer.run([0], max_epochs=len(scores)).epoch


def test_training_stops_when_the_score_no_longer_grows():
    assert run_until_stop(EarlyStop(2, min_delta=0.05), [0.5, 0.6, 0.62, 0.63, 0.9, 0.9]) == 4
    assert run_until_stop(EarlyStop(3, min_delta=0.05), [0.5, 0.6, 0.62, 0.63, 0.9, 0.9]) == 6


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_stopping_goes_on_counting(cut):
    scores = [0.5, 0.6, 0.55, 0.58, 0.59, 0.7]
    first = EarlyStop(3)
    assert run_until_stop(first, scores[:cut]) == cut
    second = EarlyStop(3)
    second.load_state_dict(first.state_dict())
    assert cut + run_until_stop(second, scores[cut:]) == 5


def test_stopping_without_a_trainer_is_refused():
    evaluator = validator([0.5])
    EarlyStop(2).attach(evaluator)
    with pytest.raises(RuntimeError, match=r"must know its trainer, however: trainer=None; call set_trainer first"):
        evaluator.run([0])


def test_best_score_is_stored_as_a_plain_number(tmp_path):
    saver = WeightSaver(torch.nn.Linear(1, 1), tmp_path / "best.pt")
    assert saver.state_dict() == {"best_score": -float("inf")}
    saver.best_score = np.float64(0.75)
    assert type(saver.state_dict()["best_score"]) is float
    other = WeightSaver(torch.nn.Linear(1, 1), tmp_path / "best.pt")
    other.load_state_dict(saver.state_dict())
    assert other.best_score == 0.75
