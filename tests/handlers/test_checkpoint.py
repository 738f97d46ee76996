"""Training that is interrupted at any step and goes on as if it had not been."""

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader, DistributedSampler
from monai.engines import SupervisedTrainer
from monai.transforms import RandGaussianNoised

from dymo_med.data.epochs import SeededDataset
from dymo_med.handlers import EpochSeed, TrainingCheckpoint
from dymo_med.utils import load_weights, save_weights
from tests.handlers.build import disk_of

N_EPOCHS, N_STEPS = 4, 3


class Killed(BaseException):
    """What no handler of errors expects."""


class Training:
    """A training with everything that a run can draw: order, noise, dropout; with momentum, schedule and BatchNorm."""

    def __init__(self, path, width=3, n_samples=2 * N_STEPS, settings=None, seed=9, **parts):
        torch.manual_seed(np.random.default_rng().integers(1000))  # what comes before must not matter
        self.network = torch.nn.Sequential(
            torch.nn.Linear(2, width), torch.nn.BatchNorm1d(width), torch.nn.Dropout(0.5), torch.nn.Linear(width, 1)
        )
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, N_EPOCHS)
        generator = torch.Generator().manual_seed(1)
        items = [{"image": torch.randn(2, generator=generator), "label": torch.ones(1)} for _ in range(n_samples)]
        data = SeededDataset(items, RandGaussianNoised("image", prob=0.5), seed)
        self.trainer = SupervisedTrainer(
            device="cpu",
            max_epochs=N_EPOCHS,
            train_data_loader=DataLoader(
                data, batch_size=2, sampler=DistributedSampler(data, num_replicas=1, rank=0, seed=seed)
            ),
            network=self.network,
            optimizer=self.optimizer,
            loss_function=torch.nn.MSELoss(),
            decollate=False,
        )
        epoch_seed = EpochSeed(seed, [data])
        self.parts = {"network": self.network, "optimizer": self.optimizer, "schedule": schedule, "seed": epoch_seed}
        self.checkpoint = TrainingCheckpoint(path, self.parts | parts, settings or {"sizes": {"width": width}})
        self.checkpoint.attach(self.trainer)
        epoch_seed.attach(self.trainer)
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: schedule.step())
        self.steps = []
        self.trainer.add_event_handler(
            Events.ITERATION_COMPLETED, lambda: self.steps.append(self.trainer.state.iteration)
        )

    def start_alike(self):
        """Give the network the same weights in every run; a run that goes on must overwrite other ones."""
        generator = torch.Generator().manual_seed(4)
        with torch.no_grad():
            for parameter in self.network.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        return self

    def run(self, killed_at=None):
        if killed_at is not None:
            self.trainer.add_event_handler(Events.ITERATION_COMPLETED(once=killed_at), _kill)
            with pytest.raises(Killed):
                self.trainer.run()
        else:
            self.trainer.run()
        return self


def _kill():
    raise Killed


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "checkpoint.pt"
    training = Training(path).start_alike().run()
    assert not path.exists()
    return training


def same(first, second):
    ours, theirs = first.network.state_dict(), second.network.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.parametrize("killed_at", [1, 3, 4, 8, 12])
def test_final_weights_are_those_of_a_run_that_was_never_stopped(tmp_path, uninterrupted, killed_at):
    path = tmp_path / "checkpoint.pt"
    Training(path).start_alike().run(killed_at)
    done = (killed_at - 1) // N_STEPS
    assert load_weights(path)["epoch"] == done
    again = Training(path).run()
    assert again.steps == list(range(1 + done * N_STEPS, 1 + N_EPOCHS * N_STEPS))
    assert same(again, uninterrupted)
    assert str(again.optimizer.state_dict()) == str(uninterrupted.optimizer.state_dict())
    assert not path.exists()


def test_a_run_can_be_killed_again_and_again(tmp_path, uninterrupted):
    path = tmp_path / "checkpoint.pt"
    Training(path).start_alike().run(2)
    for killed_at in (1, 5, 7):
        Training(path).run(killed_at)
    assert same(Training(path).run(), uninterrupted)


def test_draws_matter(tmp_path, uninterrupted):
    other = Training(tmp_path / "checkpoint.pt", seed=8).start_alike().run()
    assert not same(other, uninterrupted)


def test_finished_training_begins_anew(tmp_path, uninterrupted):
    path = tmp_path / "checkpoint.pt"
    for _ in range(2):
        assert same(Training(path).start_alike().run(), uninterrupted)


def test_file_holds_tensors_and_plain_values_only(tmp_path):
    path = tmp_path / "checkpoint.pt"
    settings = {"rate": np.float64(0.5), "sizes": {"layers": (1, 2)}, "place": tmp_path}
    Training(path, settings=settings).run(5)
    stored = load_weights(path)  # refuses anything else
    assert set(stored["parts"]) == {"network", "optimizer", "schedule", "seed"}
    assert (stored["epoch"], stored["iteration"], stored["is_stopped"]) == (1, 3, False)
    assert stored["settings"] == {"rate": 0.5, "sizes": {"layers": [1, 2]}, "place": str(tmp_path)}
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_texts_travel_with_the_checkpoint(tmp_path):
    path = tmp_path / "checkpoint.pt"
    first, second = Training(path), Training(path)
    first.trainer.add_event_handler(Events.EPOCH_STARTED, lambda: first.checkpoint.extra.update(run="a1"))
    first.run(1)
    assert load_weights(path)["extra"] == {"run": "a1"}
    seen = []
    second.trainer.add_event_handler(Events.EPOCH_STARTED, lambda: seen.append(dict(second.checkpoint.extra)))
    second.run()
    assert seen == [{"run": "a1"}] * N_EPOCHS


def test_training_that_was_stopped_does_not_train_on(tmp_path):
    path = tmp_path / "checkpoint.pt"
    first = Training(path)
    first.trainer.add_event_handler(Events.EPOCH_COMPLETED(once=2), lambda: first.trainer.terminate())
    first.trainer.add_event_handler(Events.COMPLETED, _kill)  # in the work that follows the last epoch
    with pytest.raises(Killed):
        first.trainer.run()
    assert load_weights(path)["is_stopped"]
    second, ends = Training(path), []
    second.trainer.add_event_handler(Events.COMPLETED, lambda: ends.append(second.trainer.state.epoch))
    second.run()
    assert (second.steps, ends) == ([], [2])
    assert same(first, second)
    assert not path.exists()


def test_state_of_the_gradient_scaler_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda.amp, "GradScaler", lambda: torch.amp.GradScaler("cpu", growth_interval=2))
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: torch.autograd.set_grad_enabled(True))
    path, scales = tmp_path / "checkpoint.pt", []
    for killed_at in (5, 4):
        training = Training(path)
        training.trainer.amp = True
        training.trainer.add_event_handler(
            Events.ITERATION_STARTED, lambda engine: scales.append(engine.scaler.get_scale() / 65536)
        )
        training.run(killed_at)
    assert scales == [1, 1, 2, 2, 4, 2]  # grows every other step; the second run begins after the third
    assert load_weights(path)["scaler"]["scale"] == 2 * 65536


def test_full_disk_leaves_the_checkpoint_before(tmp_path):
    path = tmp_path / "checkpoint.pt"
    Training(path).start_alike().run(4)
    before = path.read_bytes()
    with disk_of(1000), pytest.raises(OSError, match=r"cannot write checkpoint.pt .*; nothing half-written was left"):
        Training(path).run()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def refused(training):
    """The one line with which a training ends before its first step."""
    with pytest.raises(ValueError, match="checkpoint") as caught:
        training.trainer.run()
    assert training.steps == []
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.fixture
def interrupted(tmp_path):
    path = tmp_path / "checkpoint.pt"
    Training(path, settings={"lr": 0.1, "sizes": {"dim": 8, "layers": [1, 2]}, "batch": 2}).run(4)
    return path


def test_other_settings_are_refused(interrupted):
    before = interrupted.read_bytes()
    settings = {"lr": 0.2, "sizes": {"dim": 8, "layers": [1, 3]}, "batch": 4, "new": 1}
    assert refused(Training(interrupted, settings=settings)) == (
        "checkpoint.pt of an interrupted training must be continued as it was begun, however: batch was 2 and is 4, "
        "lr was 0.1 and is 0.2, new was None and is 1 and 1 more; start it as before, or delete the file to begin anew"
    )
    assert interrupted.read_bytes() == before


def test_other_sizes_are_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    Training(path, width=3, settings={"same": 1}).run(4)
    text = refused(Training(path, width=5, settings={"same": 1}))
    assert text.startswith(
        "a checkpoint must fit the training, however: network of checkpoint.pt does not (Error(s) in "
    )
    assert text.endswith("); start with its configuration and data, or delete it to begin anew")


def test_other_parts_are_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    Training(path).run(4)
    text = refused(Training(path, early_stop=EpochSeed(1, [])))
    assert text == (
        "a checkpoint must hold the parts of this training, however: checkpoint.pt differs in ['early_stop']; delete "
        "it to begin anew"
    )


def test_damaged_file_is_refused(interrupted):
    interrupted.write_bytes(interrupted.read_bytes()[:-200])
    text = refused(Training(interrupted))
    assert text.startswith("checkpoint.pt is no checkpoint that can be read (")
    assert text.endswith("; delete it to begin anew")


def test_file_of_another_kind_is_refused(interrupted):
    save_weights(interrupted, torch.nn.Linear(1, 1).state_dict())
    assert refused(Training(interrupted)) == (
        "checkpoint.pt must be of format ('dymo_med training checkpoint', 1), however: (None, None); delete it to "
        "begin anew"
    )


def test_other_number_of_steps_is_refused(tmp_path):
    """The schedule of an epoch would be another: more or fewer subjects, or another batch size."""
    path = tmp_path / "checkpoint.pt"
    Training(path).run(4)
    assert refused(Training(path, n_samples=8)) == (
        "checkpoint.pt must have epochs of as many steps as this training, however: 3 there and 4 here; start with its "
        "data and batch size, or delete it to begin anew"
    )


def test_engines_of_ignite_have_no_scaler(tmp_path):
    engine = Engine(lambda *_: None)
    TrainingCheckpoint(tmp_path / "c.pt", {}, {}).attach(engine)
    states = []
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: states.append(load_weights(tmp_path / "c.pt")))
    engine.run([0])
    assert (states[0]["scaler"], states[0]["epoch"]) == ({}, 0)
