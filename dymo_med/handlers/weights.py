"""Weights to disk, whole or not at all."""

import logging
import math
from pathlib import Path

import ignite.distributed as idist
from ignite.engine import Engine, Events
from torch import nn

from dymo_med.utils import save_weights

__all__ = ["WeightSaver"]


class WeightSaver:
    """Keeps the weights of the best epoch, or writes those of the last one.

    MONAI's ``CheckpointSaver`` writes in place: a run that is killed meanwhile leaves half a file. This one writes
    beside and renames.

    Args:
        network: Network whose state dictionary is written, not wrapped for parallel training.
        path: File to write.
        best: True = attach to the evaluator: write whenever its key metric is the highest so far. False = attach to
            the trainer: write once, at the end.
    """

    def __init__(self, network: nn.Module, path: str | Path, *, best: bool = True) -> None:
        self.network = network
        self.path = Path(path)
        self.best = best
        self.best_score = -math.inf
        self.logger = logging.getLogger(__name__)

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator or a trainer."""
        engine.add_event_handler(Events.COMPLETED, self)

    def state_dict(self) -> dict[str, float]:
        """Give the best score so far."""
        return {"best_score": float(self.best_score)}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Take the best score of the run that goes on."""
        self.best_score = state["best_score"]

    def __call__(self, engine: Engine) -> None:
        """Write if this is the best or the last epoch; an undefined score is never the best."""
        if self.best:
            score = engine.state.metrics[engine.state.key_metric_name]  # type: ignore[attr-defined]
            if not score > self.best_score:
                return
            self.best_score = score
            self.logger.info("best epoch so far: %s %.4f", engine.state.key_metric_name, score)  # type: ignore[attr-defined]
        if idist.get_rank() == 0:
            save_weights(self.path, self.network.state_dict())
