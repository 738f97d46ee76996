"""Training that is interrupted and goes on as if it had not been."""

import logging
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Protocol, cast

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

from dymo_med.utils import load_weights, process_rank, save_weights

__all__ = ["Stateful", "TrainingCheckpoint"]

FORMAT, VERSION = "dymo_med training checkpoint", 1


class Stateful(Protocol):
    """A part of training that changes, and can be stored."""

    def state_dict(self) -> Mapping[str, Any]:
        """Give tensors and plain values."""

    def load_state_dict(self, state: Any) -> Any:
        """Take them back."""


class TrainingCheckpoint:
    """Stores all of a training after every epoch, and goes on from there when the same training is started again.

    The file is written whole or not at all and holds tensors and plain values only. It exists as long as training is
    under way: a training that comes to its end removes it, so that starting it once more begins anew. What is drawn in
    an epoch must depend on seed and epoch alone (:class:`~dymo_med.handlers.EpochSeed`); the epoch in which a run was
    killed is computed again, from its start and with the same draws.

    Args:
        path: File of the checkpoint; all processes must see it.
        parts: What changes in training, by name: network, optimizer, schedule, early stopping, seed, ...
        settings: What the run must have in common with the one it continues: hyper-parameters, sizes, digests of data,
            as plain values, at any depth.

    Attributes:
        extra: Texts to be stored beside, such as the identifier of a tracked run; whoever adds one finds it here again
            after ``STARTED`` of a run that goes on.

    Raises:
        ValueError: while a training starts: the file is damaged, or of another training; the text names what differs.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "checkpoint.pt"
        >>> network = torch.nn.Linear(1, 1)
        >>> engine = Engine(lambda engine, batch: network.weight.data.add_(1))
        >>> _ = engine.add_event_handler(Events.EPOCH_STARTED(once=3), lambda: exit("killed in epoch 3"))
        >>> TrainingCheckpoint(path, {"network": network}, {"learning_rate": 0.1}).attach(engine)
        >>> try:
        ...     _ = engine.run([0], max_epochs=4)
        ... except SystemExit:
        ...     load_weights(path)["epoch"]
        2
    """

    def __init__(self, path: str | Path, parts: Mapping[str, Stateful], settings: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.parts = dict(parts)
        self.settings = _plain(settings)
        self.extra: dict[str, str] = {}
        self.logger = logging.getLogger(__name__)

    def attach(self, engine: Engine) -> None:
        """Register with a trainer, as its first handler: others read what comes back."""
        engine.add_event_handler(Events.STARTED, self._start)

    def _start(self, engine: Engine) -> None:
        is_resumed = self.path.is_file()
        idist.barrier()  # nobody writes before all have looked
        if is_resumed:
            self._restore(engine)
        else:
            engine.add_event_handler(Events.EPOCH_STARTED(once=engine.state.epoch + 1), self._save_start)
        # Registered now and not in attach: after the handlers of all others, whose work of the epoch is to be stored.
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)
        engine.add_event_handler(Events.COMPLETED, self._remove)

    def _restore(self, engine: Engine) -> None:
        state = self._read()
        _check_settings(self.path.name, state["settings"], self.settings)
        if different := state["parts"].keys() ^ self.parts.keys():
            raise ValueError(
                f"a checkpoint must hold the parts of this training, however: {self.path.name} differs in "
                f"{sorted(different)}; delete it to begin anew"
            )
        for name, part in self.parts.items():
            try:
                part.load_state_dict(state["parts"][name])
            except (KeyError, RuntimeError, ValueError) as err:
                reason = " ".join(str(err).split())[:200]
                raise ValueError(
                    f"a checkpoint must fit the training, however: {name} of {self.path.name} does not ({reason}); "
                    "start with its configuration and data, or delete it to begin anew"
                ) from err
        if state["epoch_length"] != engine.state.epoch_length:
            raise ValueError(
                f"{self.path.name} must have epochs of as many steps as this training, however: "
                f"{state['epoch_length']} there and {engine.state.epoch_length} here; start with its data and batch "
                "size, or delete it to begin anew"
            )
        scaler = _scaler_of(engine)
        if scaler is not None and state["scaler"]:
            scaler.load_state_dict(state["scaler"])
        self.extra.update(state["extra"])
        engine.state.epoch, engine.state.iteration = state["epoch"], state["iteration"]
        if state["is_stopped"]:
            engine.terminate()
        self.logger.info("training goes on after epoch %d", state["epoch"])

    def _read(self) -> dict[str, Any]:
        remedy = "delete it to begin anew"
        try:
            state = load_weights(self.path)
        except ValueError as err:
            raise ValueError(f"{self.path.name} is no checkpoint that can be read ({err.__cause__}); {remedy}") from err
        found = (state.get("format"), state.get("version"))
        if found != (FORMAT, VERSION):
            raise ValueError(f"{self.path.name} must be of format {(FORMAT, VERSION)}, however: {found}; {remedy}")
        return state

    def _save_start(self, engine: Engine) -> None:
        """Store the start of the first epoch, once everybody has added what is to be kept."""
        self._write(engine, engine.state.epoch - 1)

    def _save(self, engine: Engine) -> None:
        self._write(engine, engine.state.epoch)

    def _write(self, engine: Engine, epoch: int) -> None:
        if process_rank() != 0:
            return
        scaler = _scaler_of(engine)
        save_weights(
            self.path,
            {
                "format": FORMAT,
                "version": VERSION,
                "settings": self.settings,
                "epoch": epoch,
                "iteration": engine.state.iteration,
                "epoch_length": engine.state.epoch_length,
                "is_stopped": bool(engine.should_terminate),
                "parts": {name: part.state_dict() for name, part in self.parts.items()},
                "scaler": {} if scaler is None else scaler.state_dict(),
                "extra": dict(self.extra),
            },
        )

    def _remove(self, _: Engine) -> None:
        if process_rank() == 0:
            self.path.unlink(missing_ok=True)


def _scaler_of(engine: Engine) -> torch.amp.GradScaler | None:
    """Give the gradient scaler that MONAI's trainers have under mixed precision."""
    return cast("torch.amp.GradScaler | None", getattr(engine, "scaler", None))


def _plain(value: Any) -> Any:
    """Turn settings into what a file without pickled objects can hold."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Real):
        return int(value) if isinstance(value, Integral) else float(value)
    return str(value)


def _check_settings(name: str, theirs: Any, ours: Any) -> None:
    was, now = _flat(theirs), _flat(ours)
    changed = [key for key in sorted(was.keys() | now.keys()) if was.get(key) != now.get(key)]
    if changed:
        listed = ", ".join(f"{key} was {was.get(key)!r} and is {now.get(key)!r}" for key in changed[:3])
        raise ValueError(
            f"{name} of an interrupted training must be continued as it was begun, however: {listed}"
            f"{f' and {len(changed) - 3} more' if len(changed) > 3 else ''}; start it as before, or delete the file to "
            "begin anew"
        )


def _flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(settings, Mapping):
        return {prefix: settings}
    return {
        name: item
        for key, value in settings.items()
        for name, item in _flat(value, f"{prefix}.{key}" if prefix else str(key)).items()
    }
