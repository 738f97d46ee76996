"""One MLflow run for one bundle run: what a reviewer needs months later, and nothing about any subject."""

import atexit
import logging
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd
from ignite.engine import Engine, Events

from dymo_med.tracking import (
    JournalWriter,
    code_tags,
    default_store,
    disable_telemetry,
    provenance_of,
    read_entries,
    version_tags,
    without_credentials,
    write_record,
)
from dymo_med.tracking.background import start_sender
from dymo_med.tracking.figures import scores_of_best
from dymo_med.tracking.journal import as_json_numbers
from dymo_med.tracking.naming import check_no_paths, flattened_params, metric_name
from dymo_med.utils import atomic_path, process_rank, sha256_of, write_json

__all__ = ["MLflowRun"]

EXTRA_KEY = "mlflow_run"
"""Under this name a checkpoint keeps the key of the run."""
JOURNALS_FOLDER = "tracking"
"""Folder in the outputs with one journal a run."""
LAST_WAIT_SECONDS = {"server": 60.0, "file": 600.0}
"""Longest time that the end of a run waits for its store."""


class MLflowRun:
    """One run: begun with the first epoch, ended by :meth:`finish`, whatever happens in between.

    Nothing is sent from here. The run writes a journal in ``<output_dir>/tracking``, and a process of its own sends it:
    a store that is slow, refuses or dies costs training nothing, and what could not be sent goes later by ``dymo-med
    send-runs``. A run ends as FINISHED by :meth:`finish` alone; an error, SIGTERM or kill -9 make it FAILED, Ctrl-C
    KILLED. No run writes into another's, and one process writes to a run: in parallel training the first.

    Only what is passed here is sent: parameters, tags, metrics, counts of the data, aggregate tables and the packaged
    model; never subjects, paths or rows. Values that look like a path are refused.

    Args:
        output_dir: Outputs of the run; the default store is the SQLite file ``mlflow.db`` in its parent folder.
        experiment: Name of the experiment.
        run_name: What the run does; the first digits of its key are added.
        params: Hyper-parameters; nested mappings are flattened with dots.
        tags: Tags, such as the kind of data.
        tracking_uri: MLflow store; None uses ``MLFLOW_TRACKING_URI`` or the SQLite file.
        datasets: Data of the run as counts and digests (:func:`dymo_med.data.cohort.dataset_facts`).
        weights: Files that the run starts from, by role; None where there is none. Their records link the runs.
        about: One sentence for the page of the run.
        extra: Texts that travel with the checkpoint of a training (``TrainingCheckpoint.extra``): the run leaves its
            key there, and goes on with the run whose key it finds there.
        system_metrics: Log the load of the machine every ten seconds.

    Raises:
        ValueError: a parameter or tag looks like a path.

    Example:
        >>> run = MLflowRun("eval/train", "dymo_med cad", "train", params={"sizes": {"dim": 8}})
        >>> run.params, len(run.key)
        ({'sizes.dim': '8'}, 32)
    """

    def __init__(
        self,
        output_dir: str | Path,
        experiment: str,
        run_name: str,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        tracking_uri: str | None = None,
        *,
        datasets: Sequence[Mapping[str, Any]] = (),
        weights: Mapping[str, str | Path | None] | None = None,
        about: str = "",
        extra: MutableMapping[str, str] | None = None,
        system_metrics: bool = True,
    ) -> None:
        disable_telemetry()
        self.output_dir = Path(output_dir)
        self.experiment = experiment
        self.run_name = run_name
        self.params = flattened_params(params or {})
        self.tags = {name: str(value) for name, value in (tags or {}).items()}
        check_no_paths({**self.params, **self.tags})
        self.tracking_uri = tracking_uri
        self.datasets = [dict(dataset) for dataset in datasets]
        self.weights = {role: Path(path) for role, path in (weights or {}).items() if path is not None}
        self.about = about
        self.extra = {} if extra is None else extra
        self.system_metrics = system_metrics
        self.key = uuid.uuid4().hex
        self.logger = logging.getLogger(__name__)
        self._continues = self._has_ended = False
        self._journal: JournalWriter | None = None
        self._sender: subprocess.Popen[bytes] | None = None
        self._known: set[tuple[str, int]] = set()

    @property
    def folder(self) -> Path:
        """Folder of the run's journal."""
        return self.output_dir / JOURNALS_FOLDER / self.key

    @property
    def store(self) -> str:
        """Address of the store."""
        return self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or default_store(self.output_dir)

    def attach(self, engine: Engine) -> None:
        """Register with the engine whose life the run follows."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.begin)
        engine.add_event_handler(Events.COMPLETED, self.begin)  # a run that goes on may have no epoch left
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def continue_run(self, key: str) -> None:
        """Go on with a run that was interrupted, instead of beginning one; call it before the first epoch.

        Where the outputs hold no such run any more, a new one begins, with the tag ``continues``.

        Args:
            key: The interrupted run's :attr:`key`, as a checkpoint keeps it.

        Raises:
            RuntimeError: the run has begun, or the other one has finished.
        """
        if self._journal is not None:
            raise RuntimeError(
                f"a run is continued before it begins, however: {self.run_name} {self.key[:6]} has begun: load the "
                "checkpoint before the first epoch"
            )
        entries = read_entries(self.output_dir / JOURNALS_FOLDER / key)
        if not entries:
            self.tags["continues"] = key
            return
        if entries[-1].get("status") == "FINISHED":
            raise RuntimeError(
                f"only an interrupted run can go on, however: run {key[:6]} is FINISHED: remove its checkpoint or "
                "choose another output folder"
            )
        self.key, self._continues = key, True
        self._known = {
            (name, entry["step"]) for entry in entries if entry["kind"] == "metrics" for name in entry["values"]
        }

    def begin(self, _: Engine | None = None) -> None:
        """Begin the run, or go on with the one that the checkpoint names; nothing happens where it is open.

        Raises:
            FileNotFoundError: a file of ``weights`` is absent.
            RuntimeError: another process writes to this run, or the one to go on with has finished.
        """
        if self._journal is not None or self._has_ended or self._is_silent():
            return
        if EXTRA_KEY in self.extra:
            self.continue_run(self.extra[EXTRA_KEY])
        self.extra[EXTRA_KEY] = self.key
        provenance = {role: provenance_of(path) for role, path in self.weights.items()}
        code = code_tags()
        tags = {**self.tags, **_weight_tags(provenance), **code, **version_tags()}
        tags["mlflow.source.name"] = f"dymo_med {self.run_name}"
        self._journal = JournalWriter(self.folder)
        if self._continues:
            self._journal.write("continue", tags={**code, **version_tags()})
        else:
            self._journal.write(
                "start",
                key=self.key,
                experiment=self.experiment,
                name=f"{self.run_name} {self.key[:6]}",
                params=self.params,
                tags=tags,
                datasets=self.datasets,
                weights=provenance,
                about=self.about,
                uri=without_credentials(self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI", "")),
            )
        self._write_summary(tags)
        self._sender = start_sender(self.folder, self.store, system_metrics=self.system_metrics)
        atexit.register(self._end_unfinished)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log numbers at a step; one that a continued run has logged already stays as it was."""
        new = {name: value for name, value in metrics.items() if (name, step) not in self._known}
        if new:
            self._write("metrics", step=step, values=as_json_numbers(new))

    def log_table(self, name: str, table: pd.DataFrame, *, by: Sequence[str] = (), values: Sequence[str] = ()) -> None:
        """Log an aggregate table as an artifact, and columns of it as metrics.

        Args:
            name: Name of the table, and the first part of its metrics.
            table: Aggregate figures; never one row a subject.
            by: Columns whose texts name a metric: ``<name> <by>/<value> <by>``.
            values: Columns that become metrics; undefined figures do not.
        """
        if self._is_silent():
            return
        journal = self._begun()
        path = journal.folder / "files" / f"{name}.csv"
        with atomic_path(path) as temporary:
            table.to_csv(temporary, index=False)
        self._write("table", name=path.name)
        metrics = {}
        for row in table.to_dict("records"):
            first, *rest = [str(row[column]) for column in by] or [""]
            for column in values:
                if not pd.isna(row[column]):
                    title = " ".join([str(column), *rest])
                    metrics[metric_name(f"{name} {first}".strip() + f"/{title}")] = float(row[column])
        if metrics:
            self.log_metrics(metrics)

    def log_file(self, path: str | Path) -> None:
        """Log an aggregate file, such as a report, as an artifact; it is copied at once."""
        if self._is_silent():
            return
        self._begun().keep_file(path, Path(path).name)
        self._write("file", name=Path(path).name)

    def log_model(self, folder: str | Path, name: str) -> None:
        """Register a packaged model (:func:`dymo_med.serving.package_model`) as a new version.

        Args:
            folder: Model folder; it must stay as it is until it is sent.
            name: Name in the registry.
        """
        if self._is_silent():
            return
        journal, folder = self._begun(), Path(folder)
        start = read_entries(journal.folder)[0]
        tags = {name: value for name, value in start["tags"].items() if not name.startswith(("mlflow.", "version."))}
        self._write(
            "model",
            name=name,
            folder=os.path.relpath(folder.absolute(), journal.folder.absolute()),
            digest=sha256_of(folder / "MLmodel"),
            tags={**tags, "dymo_med.run": self.key},
            about="Classifier of cine MRI and a clinical table with missing parts (DyMo).",
            description="Predicts from a data frame: column `image` with a path, the columns of the table with raw "
            "values; every column is optional, NULL means missing.",
        )

    def record_weights(self, path: str | Path) -> None:
        """Write beside finished weights that this run made them; later runs that use them point here."""
        if self._is_silent():
            return
        tags = read_entries(self._begun().folder)[0]["tags"]
        facts = {
            "run": self.key,
            "run_name": f"{self.run_name} {self.key[:6]}",
            "experiment": self.experiment,
            "cohort_digest": self.tags.get("cohort_digest", "unknown"),
            "code_commit": tags["code.commit"],
            "code_dirty": tags.get("code.dirty", "unknown"),
            "dymo_med": tags["version.dymo-med"],
        }
        write_record(path, facts)
        self._write("tags", values={f"made.{Path(path).stem}.sha256": sha256_of(path)})

    def finish(self, best_of: str | None = None) -> None:
        """End the run as FINISHED and give its store up to a minute to take what is left.

        Args:
            best_of: Metric of which the first highest value tells the epoch whose weights were kept; all metrics of
                that epoch are logged once more as ``best/...``, since MLflow's tables show those of the last one.
        """
        if self._is_silent():
            return
        if best_of is not None:
            step, values = scores_of_best(read_entries(self._begun().folder), best_of)
            self.log_metrics(values, step=step)
        self._end("FINISHED", "")

    def _fail(self, _: Engine, error: BaseException) -> None:
        if self._journal is not None:
            self._end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED", type(error).__name__)
        raise error

    def _end_unfinished(self) -> None:
        """End a run that is still open when its process ends."""
        if self._journal is not None:
            cause = getattr(sys, "last_type", None)
            status = "KILLED" if cause is KeyboardInterrupt else "FAILED"
            self._end(status, cause.__name__ if cause else "the process ended without finish")

    def _end(self, status: str, reason: str) -> None:
        journal = self._begun()
        journal.write("end", status=status, reason=reason)
        journal.close()
        self._journal, self._has_ended = None, True
        atexit.unregister(self._end_unfinished)
        sender = cast("subprocess.Popen[bytes]", self._sender)
        try:
            is_sent = sender.wait(LAST_WAIT_SECONDS["file" if self.store.startswith("sqlite") else "server"]) == 0
        except subprocess.TimeoutExpired:
            sender.kill()
            sender.wait()
            is_sent = False
        if not is_sent:
            self.logger.warning(
                "the MLflow store has not taken all of run %s; it is kept: send it later with 'dymo-med send-runs %s'",
                self.key[:6],
                self.output_dir,
            )

    def _write(self, kind: str, **content: Any) -> None:
        if not self._is_silent():
            self._begun().write(kind, **content)

    def _is_silent(self) -> bool:
        return process_rank() != 0

    def _begun(self) -> JournalWriter:
        if self._has_ended:
            raise RuntimeError(
                f"a run takes nothing after its end, however: {self.run_name} {self.key[:6]} has ended: finish it last"
            )
        self.begin()
        return cast(JournalWriter, self._journal)

    def _write_summary(self, tags: Mapping[str, str]) -> None:
        """Write beside the outputs which run made them."""
        about = {"run": self.key, "experiment": self.experiment, "tags": tags, "datasets": self.datasets}
        write_json(self.output_dir / "run.json", about)


def _weight_tags(provenance: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    named = ("sha256", "record", "run", "cohort_digest", "code_commit", "code_dirty")
    return {
        f"weights.{role}.{name}": facts[name] for role, facts in provenance.items() for name in named if name in facts
    }
