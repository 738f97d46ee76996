"""Metrics of an engine to its MLflow run."""

from typing import Any, cast

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.utils import CommonKeys

from dymo_med.handlers.mlflow_run import MLflowRun

__all__ = ["MLflowMetrics"]


class MLflowMetrics:
    """Logs an engine's metrics once per epoch, and the mean loss of a trainer over all its processes.

    Args:
        run: Run that another handler list opens.
        prefix: Precedes every name, such as ``"train/"``; a slash groups charts. ``val_`` at the start of a name, which
            says the same, is left out.
    """

    def __init__(self, run: MLflowRun, prefix: str = "") -> None:
        self.run = run
        self.prefix = prefix

    def attach(self, engine: Engine) -> None:
        """Register with a trainer or an evaluator."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._send)

    def _begin(self, _: Engine) -> None:
        self._losses: list[torch.Tensor] = []

    def _collect(self, engine: Engine) -> None:
        output = cast(dict[str, Any], engine.state.output)
        if CommonKeys.LOSS in output:
            self._losses.append(output[CommonKeys.LOSS].detach())  # read at the end of the epoch: no wait for a GPU

    def _send(self, engine: Engine) -> None:
        metrics = {
            self.prefix + name.removeprefix("val_"): value
            for name, value in engine.state.metrics.items()
            if isinstance(value, (int, float))
        }
        if self._losses:
            losses = torch.stack(self._losses).double()
            total = torch.stack([losses.sum(), losses.new_tensor(len(losses))])
            loss, count = cast(torch.Tensor, idist.all_reduce(total)).tolist()
            metrics[f"{self.prefix}loss"] = loss / count
        self.run.log_metrics(metrics, step=engine.state.epoch)
