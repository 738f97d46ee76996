"""One MLflow run for each bundle run."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ignite.engine import Engine, Events
from monai.utils import CommonKeys

__all__ = ["MLflowMetrics", "MLflowRun"]

MAX_PARAM_LENGTH = 6000
"""Longest parameter text that MLflow keeps."""


class MLflowRun:
    """Opens one run when its engine starts and ends it when the engine does, as FINISHED or FAILED.

    No run is ever continued: MONAI's own handler lets unnamed runs merge and writes on into crashed ones. Only what is
    passed here is sent: parameters, metrics and the files named in :meth:`log_file`; never subjects, paths or rows.

    Args:
        output_dir: Outputs of the run; the default store is the SQLite file ``mlflow.db`` in its parent folder.
        experiment: Name of the experiment.
        run_name: Name of the run.
        params: Hyper-parameters; nested mappings are flattened with dots.
        tags: Tags, such as the kind of data.
        tracking_uri: MLflow store; None uses ``MLFLOW_TRACKING_URI`` or the SQLite file.
    """

    def __init__(
        self,
        output_dir: str | Path,
        experiment: str,
        run_name: str,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        tracking_uri: str | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.experiment = experiment
        self.run_name = run_name
        self.params = _flattened(params or {})
        self.tags = dict(tags or {})
        self.tracking_uri = tracking_uri
        self.run_id: str | None = None

    def attach(self, engine: Engine) -> None:
        """Register with the engine whose life the run follows."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.COMPLETED, self._finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log numbers at a step."""
        run_id = self._started()
        for name, value in metrics.items():
            self._client.log_metric(run_id, name, float(value), step=step)

    def log_file(self, path: str | Path) -> None:
        """Log an aggregate file, such as a comparison table, as an artifact."""
        run_id = self._started()
        self._client.log_artifact(run_id, str(path))

    def _start(self, _: Engine) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow  # slow to import, and it reads the variable above

        store = self.output_dir.parent
        store.mkdir(parents=True, exist_ok=True)
        default = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{store.absolute() / 'mlflow.db'}"
        self._client = mlflow.MlflowClient(self.tracking_uri or default)
        experiment = self._client.get_experiment_by_name(self.experiment)
        if experiment is None:
            local = None if self.tracking_uri or "MLFLOW_TRACKING_URI" in os.environ else (store / "mlflow-files")
            location = None if local is None else local.absolute().as_uri()
            experiment_id = self._client.create_experiment(self.experiment, artifact_location=location)
        else:
            experiment_id = experiment.experiment_id
        run = self._client.create_run(experiment_id, tags=self.tags, run_name=self.run_name)
        self.run_id = run.info.run_id
        for name, value in self.params.items():
            self._client.log_param(self.run_id, name, value[:MAX_PARAM_LENGTH])

    def _finish(self, _: Engine) -> None:
        self._client.set_terminated(self._started(), "FINISHED")

    def _fail(self, _: Engine, error: BaseException) -> None:
        if self.run_id is not None:
            self._client.set_terminated(self.run_id, "FAILED")
        raise error

    def _started(self) -> str:
        if self.run_id is None:
            raise RuntimeError(f"MLflow run {self.run_name!r} has not started: attach it to the engine that runs first")
        return self.run_id


class MLflowMetrics:
    """Sends an engine's metrics to a run once per epoch, and the mean loss of a trainer.

    Args:
        run: Run that another handler list opens.
        prefix: Precedes every name, such as ``"train/"``; a slash groups charts.
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
        self._losses: list[float] = []

    def _collect(self, engine: Engine) -> None:
        output = cast(dict[str, Any], engine.state.output)
        if CommonKeys.LOSS in output:
            self._losses.append(output[CommonKeys.LOSS].item())

    def _send(self, engine: Engine) -> None:
        metrics = {name: value for name, value in engine.state.metrics.items() if isinstance(value, (int, float))}
        if self._losses:
            metrics["loss"] = sum(self._losses) / len(self._losses)
        self.run.log_metrics({self.prefix + name: value for name, value in metrics.items()}, step=engine.state.epoch)


def _flattened(params: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat |= _flattened(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = str(value)
    return flat
