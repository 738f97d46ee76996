"""One MLflow run for one bundle run: what a reviewer needs months later, and nothing about any subject."""

import atexit
import hashlib
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
from dymo_med.utils import atomic_path, process_rank, read_json, sha256_of, write_json

__all__ = ["MLflowRun"]

EXTRA_KEY = "mlflow_run"
"""Under this name a checkpoint keeps the key of the run."""
JOURNALS_FOLDER = "tracking"
"""Folder in the outputs with one journal a run."""
SUMMARY_FILE = "run.json"
"""Beside the outputs: which run made them."""
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

    A run may hold nested runs (:meth:`log_child`), such as the strategies of a sweep.

    Args:
        output_dir: Outputs of the run; the default store is the SQLite file ``mlflow.db`` in its parent folder.
        experiment: Name of the experiment.
        run_name: What the run does, in one word, and what tells it from others; the first digits of its key are added.
        params: Hyper-parameters; nested mappings are flattened with dots.
        tags: Tags, such as the kind of data.
        tracking_uri: MLflow store; None uses ``MLFLOW_TRACKING_URI`` or the SQLite file.
        datasets: Data of the run as counts and digests (:func:`dymo_med.data.cohort.dataset_facts`).
        weights: Files that the run starts from, by role; None where there is none. Their records link the runs.
        about: One sentence for the page of the run.
        extra: Texts that travel with the checkpoint of a training (``TrainingCheckpoint.extra``): the run leaves its
            key there, and goes on with the run whose key it finds there.
        system_metrics: Log the load of the machine every ten seconds.
        goes_on: Go on with the run that was interrupted in this output folder, if it had the same parameters, tags and
            weights; for runs without a checkpoint that go on from what they have written.

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
        goes_on: bool = False,
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
        self.goes_on = goes_on
        self.key = uuid.uuid4().hex
        self.logger = logging.getLogger(__name__)
        self._continues = self._has_ended = False
        self._journal: JournalWriter | None = None
        self._sender: subprocess.Popen[bytes] | None = None
        self._known: set[tuple[str, int]] = set()
        self._children: set[str] = set()

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
                f"a run is continued before it begins, however: {self._name} has begun: load the "
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
        self._children = {entry["key"] for entry in entries if entry["kind"] == "child"}

    def begin(self, _: Engine | None = None) -> None:
        """Begin the run, or go on with the one that the checkpoint names; nothing happens where it is open.

        Raises:
            FileNotFoundError: a file of ``weights`` is absent.
            RuntimeError: another process writes to this run, or the one to go on with has finished.
        """
        if self._journal is not None or self._has_ended or self._is_silent():
            return
        provenance = {role: provenance_of(path) for role, path in self.weights.items()}
        before = self._interrupted(provenance) if self.goes_on else None
        if EXTRA_KEY in self.extra or before is not None:
            self.continue_run(before or self.extra[EXTRA_KEY])
        self.extra[EXTRA_KEY] = self.key
        code = code_tags()
        tags = {**self.tags, **_weight_tags(provenance), **code, **version_tags()}
        tags["mlflow.source.name"] = f"dymo_med {self.run_name.split()[0]}"
        self._journal = JournalWriter(self.folder)
        if self._continues:
            self._journal.write("continue", tags={**code, **version_tags()})
        else:
            self._journal.write(
                "start",
                key=self.key,
                experiment=self.experiment,
                name=self._name,
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
        if self._is_silent():
            return
        self._begun()  # what a continued run has logged is known from here on
        new = {name: value for name, value in metrics.items() if (name, step) not in self._known}
        if new:
            self._write("metrics", step=step, values=as_json_numbers(new))

    def log_tags(self, tags: Mapping[str, Any]) -> None:
        """Log tags that are known by now only.

        Raises:
            ValueError: a tag looks like a path.
        """
        texts = {name: str(value) for name, value in tags.items()}
        check_no_paths(texts)
        self._write("tags", values=texts)

    def log_child(
        self,
        name: str,
        params: Mapping[str, Any],
        metrics: Mapping[int, Mapping[str, float]],
        *,
        tags: Mapping[str, Any] | None = None,
        about: str = "",
    ) -> None:
        """Log a nested run as a whole; one that a continued run has logged already stays as it was.

        It has the data, parameters and tags of this run, too.

        Args:
            name: What tells it from the other nested runs; the first digits of this run's key are added.
            params: Parameters of its own.
            metrics: Numbers by step.
            tags: Tags of its own.
            about: One sentence for its page.

        Raises:
            ValueError: a parameter or tag looks like a path.
        """
        own = flattened_params(params)
        tags = {key: str(value) for key, value in (tags or {}).items()}
        check_no_paths({**own, **tags})
        if self._is_silent():
            return
        journal = self._begun()
        key = hashlib.sha256(f"{self.key} {name}".encode()).hexdigest()[: len(self.key)]
        if key in self._children:
            return
        start = read_entries(journal.folder)[0]
        start |= {"key": key, "name": f"{name} {self.key[:6]}", "about": about, "weights": {}}
        start |= {"params": start["params"] | own, "tags": start["tags"] | tags}
        del start["time"]
        points = [
            {"kind": "metrics", "step": step, "values": as_json_numbers(values)} for step, values in metrics.items()
        ]
        journal.write_child(key, [start, *points, {"kind": "end", "status": "FINISHED", "reason": ""}])
        self._children.add(key)

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

    def log_file(self, path: str | Path, folder: str = "") -> None:
        """Log an aggregate file, such as a report, as an artifact; it is copied at once.

        Args:
            path: File.
            folder: Folder among the artifacts; empty for none.
        """
        if self._is_silent():
            return
        name = (Path(folder) / Path(path).name).as_posix()
        self._begun().keep_file(path, name)
        self._write("file", name=name)

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
            "run_name": self._name,
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

    @property
    def _name(self) -> str:
        return f"{self.run_name} {self.key[:6]}"

    def _interrupted(self, provenance: Mapping[str, Mapping[str, str]]) -> str | None:
        """Give the key of the run that was interrupted in this output folder, if it did the same."""
        path = self.output_dir / SUMMARY_FILE
        entries = read_entries(self.output_dir / JOURNALS_FOLDER / read_json(path)["run"]) if path.is_file() else []
        if not entries or entries[-1].get("status") == "FINISHED":
            return None
        start = entries[0]
        is_same = (start["params"], start["weights"]) == (self.params, provenance) and self.tags.items() <= start[
            "tags"
        ].items()
        return str(start["key"]) if is_same else None

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
            raise RuntimeError(f"a run takes nothing after its end, however: {self._name} has ended: finish it last")
        self.begin()
        return cast(JournalWriter, self._journal)

    def _write_summary(self, tags: Mapping[str, str]) -> None:
        """Write beside the outputs which run made them."""
        about = {"run": self.key, "experiment": self.experiment, "tags": tags, "datasets": self.datasets}
        write_json(self.output_dir / SUMMARY_FILE, about)


def _weight_tags(provenance: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    named = ("sha256", "record", "run", "run_name", "cohort_digest", "code_commit", "code_dirty")
    return {
        f"weights.{role}.{name}": facts[name] for role, facts in provenance.items() for name in named if name in facts
    }
