"""From the journal of a run to a store of MLflow, as often as it takes and nothing twice."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from dymo_med.tracking.description import describe_run
from dymo_med.tracking.figures import draw_curves
from dymo_med.tracking.journal import (
    CHILDREN_FOLDER,
    FILES_FOLDER,
    JOURNAL_FILE,
    SYSTEM_FILE,
    JournalWriter,
    count_entries,
    is_running,
    read_entries,
)
from dymo_med.tracking.registry import send_model
from dymo_med.tracking.store import connect, experiment_of, without_credentials
from dymo_med.utils import read_json, write_json

__all__ = ["KEY_TAG", "SENDER_LOCK_FILE", "SENT_FILE", "Sender", "close_if_abandoned", "send_journal"]

KEY_TAG = "dymo_med.run"
"""Tag with the key that a run has before any store gives it an id."""
SENT_FILE = "sent.json"
"""How much of a journal the store has confirmed."""
SENDER_LOCK_FILE = "sender.lock"
"""Held by the process that sends a journal."""

_BATCH = 1000
"""Metrics that one request may hold."""
_MAX_PARAM_LENGTH = 6000
_PARENT_TAG = "mlflow.parentRunId"
"""Tag by which MLflow nests runs."""
_FAILURE_TAG = "failure"
_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")
"""Answers that will be the same next time."""


class Sender:
    """Replays a journal into a store, from where the last confirmation stands.

    What is sent twice because its confirmation was lost changes nothing: the run is found by its key, and parameters,
    tags, metrics, files and model versions that are there already stay as they are. An entry that the store refuses
    for good is noted in ``sent.json`` and passed over; every other error ends the attempt, and the next one goes on.

    A nested run is sent when its entry in the journal is reached: its parent is in the store by then, however late.

    Args:
        folder: Folder of the journal.
        uri: Address of the store.
        parent: Sender of the run that this one is nested in.
    """

    def __init__(self, folder: str | Path, uri: str, parent: "Sender | None" = None) -> None:
        self.folder = Path(folder)
        self.uri = uri
        self.parent = parent
        self.logger = logging.getLogger(__name__)
        self._client: Any = None
        self._senders: dict[str, Callable[[dict[str, Any]], None]] = {
            "start": self._send_start,
            "continue": self._send_continue,
            "tags": self._send_tags,
            "file": self._send_file,
            "table": self._send_table,
            "model": self._send_model,
            "child": self._send_child,
            "end": self._send_end,
        }
        self._state = self._read_state()
        self._has_scores = False

    @property
    def n_unsent(self) -> int:
        """Number of entries that the store has not confirmed."""
        return sum(count_entries(self.folder, name) - int(self._state[name]) for name in (JOURNAL_FILE, SYSTEM_FILE))

    @property
    def run_id(self) -> str | None:
        """The id that the store gave to the run."""
        run_id: str | None = self._state["run_id"]
        return run_id

    def send(self) -> None:
        """Send what is not confirmed.

        Raises:
            Exception: the store cannot be reached, is slow or broken; what it confirmed before is kept.
        """
        if self._client is None:
            client = connect(self.uri) if self.parent is None else self.parent._client
            self._forget_deleted_run(client)
            self._client = client
        first = self._state[JOURNAL_FILE] if self._has_scores else 0
        entries = read_entries(self.folder, start=first)
        n_entries = first + len(entries)
        while (at := self._state[JOURNAL_FILE]) < n_entries:
            entry = entries[at - first]
            if entry["kind"] == "metrics":
                self._send_metrics(JOURNAL_FILE, limit=n_entries)
            else:
                self._guarded(entry["kind"], partial(self._senders[entry["kind"]], entry))
                self._confirm(JOURNAL_FILE, 1)
        self._has_scores |= any(entry["kind"] in ("metrics", "end") for entry in entries)
        if self._has_scores:  # pages list, and plot first, what came first
            self._send_metrics(SYSTEM_FILE, limit=count_entries(self.folder, SYSTEM_FILE))

    def _send_metrics(self, name: str, limit: int) -> None:
        """Send the metrics that follow each other from here on."""
        from mlflow.entities import Metric

        first = self._state[name]
        entries = read_entries(self.folder, name, start=first)[: limit - first]
        while (at := self._state[name] - first) < len(entries) and entries[at]["kind"] == "metrics":
            batch: list[Any] = []
            n_entries = 0
            for entry in entries[at:]:
                if entry["kind"] != "metrics" or (batch and len(batch) + len(entry["values"]) > _BATCH):
                    break
                n_entries += 1
                batch += [
                    Metric(key, float(value), entry["time"], entry["step"], model_id=self._state["model_id"])
                    for key, value in entry["values"].items()
                ]
            self._guarded("metrics", partial(self._client.log_batch, self.run_id, metrics=batch))
            self._confirm(name, n_entries)

    def _send_start(self, entry: dict[str, Any]) -> None:
        from mlflow.entities import Param

        experiment_id = experiment_of(self._client, self.uri, entry["experiment"])
        if self.run_id is None:
            self._state["run_id"] = self._found_run(experiment_id, entry["key"]) or self._new_run(experiment_id, entry)
            self._save()
        params = [Param(name, str(value)[:_MAX_PARAM_LENGTH]) for name, value in entry["params"].items()]
        self._client.log_batch(self.run_id, params=params)
        if entry["datasets"]:
            self._client.log_inputs(self.run_id, [_dataset_input(dataset) for dataset in entry["datasets"]])
        self._describe(entry)

    def _found_run(self, experiment_id: str, key: str) -> str | None:
        found = self._client.search_runs([experiment_id], f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
        return found[0].info.run_id if found else None

    def _new_run(self, experiment_id: str, entry: dict[str, Any]) -> str:
        tags = {KEY_TAG: entry["key"], "mlflow.source.type": "LOCAL", **entry["tags"]}
        if self.parent is not None:
            tags[_PARENT_TAG] = str(self.parent.run_id)
        run = self._client.create_run(experiment_id, start_time=entry["time"], tags=tags, run_name=entry["name"])
        return str(run.info.run_id)

    def _send_continue(self, entry: dict[str, Any]) -> None:
        self._client.update_run(self.run_id, status="RUNNING")
        if _FAILURE_TAG in self._client.get_run(self.run_id).data.tags:
            self._client.delete_tag(self.run_id, _FAILURE_TAG)
        self._send_tags({"values": entry["tags"]})

    def _send_tags(self, entry: dict[str, Any]) -> None:
        from mlflow.entities import RunTag

        tags = [RunTag(name, value) for name, value in entry["values"].items()]
        self._client.log_batch(self.run_id, tags=tags)

    def _send_file(self, entry: dict[str, Any]) -> None:
        folder = Path(entry["name"]).parent.as_posix()
        path = self.folder / FILES_FOLDER / entry["name"]
        self._client.log_artifact(self.run_id, str(path), None if folder == "." else folder)

    def _send_table(self, entry: dict[str, Any]) -> None:
        import pandas as pd

        self._send_file(entry)
        table_name = str(Path(entry["name"]).with_suffix(".json"))
        if table_name not in {found.path for found in self._client.list_artifacts(self.run_id)}:
            table = pd.read_csv(self.folder / FILES_FOLDER / entry["name"], keep_default_na=False, na_values=[""])
            self._client.log_table(self.run_id, table.astype("object"), table_name)  # MLflow knows no columns of text

    def _send_model(self, entry: dict[str, Any]) -> None:
        folder = (self.folder / entry["folder"]).resolve()
        origin = describe_run(self._client, KEY_TAG, read_entries(self.folder)[0])
        described = {**entry, "description": f"{entry['description']}\n\n{origin}"}
        self._state["model_id"] = send_model(self._client, str(self.run_id), described, folder)

    def _send_child(self, entry: dict[str, Any]) -> None:
        folder = self.folder / CHILDREN_FOLDER / entry["key"]
        if not (folder / JOURNAL_FILE).is_file():
            raise ValueError(f"a nested run must stay until it is sent, however: {entry['key'][:6]} is gone: run again")
        Sender(folder, self.uri, parent=self).send()

    def _send_end(self, entry: dict[str, Any]) -> None:
        if self.parent is None:  # the steps of a nested run are no epochs, and its parent tells the weights
            for figure in draw_curves(read_entries(self.folder), self.folder / FILES_FOLDER):
                self._client.log_artifact(self.run_id, str(figure), "figures")
            self._describe(read_entries(self.folder)[0])
        if entry["reason"]:
            self._client.set_tag(self.run_id, _FAILURE_TAG, entry["reason"])
        self._client.set_terminated(self.run_id, entry["status"], entry["time"])

    def _describe(self, start: dict[str, Any]) -> None:
        self._client.set_tag(self.run_id, "mlflow.note.content", describe_run(self._client, KEY_TAG, start))

    def _guarded(self, kind: str, send: Callable[[], None]) -> None:
        from mlflow.exceptions import MlflowException

        try:
            send()
        except MlflowException as err:
            if err.error_code not in _REFUSALS:
                raise
            self._refuse(kind, err)
        except ValueError as err:
            self._refuse(kind, err)

    def _refuse(self, kind: str, err: Exception) -> None:
        self._state["refused"].append(kind)
        self.logger.warning("an entry of kind %s cannot be sent, now or later: %s", kind, err)

    def _forget_deleted_run(self, client: Any) -> None:
        """Begin anew where somebody has deleted the store since."""
        from mlflow.exceptions import MlflowException

        if self.run_id is None:
            return
        try:
            client.get_run(self.run_id)
        except MlflowException as err:
            if err.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            self._state = self._new_state()

    def _confirm(self, name: str, n_entries: int) -> None:
        self._state[name] += n_entries
        self._save()

    def _save(self) -> None:
        write_json(self.folder / SENT_FILE, self._state)

    def _new_state(self) -> dict[str, Any]:
        address = without_credentials(self.uri)
        return {"uri": address, "run_id": None, "model_id": None, JOURNAL_FILE: 0, SYSTEM_FILE: 0, "refused": []}

    def _read_state(self) -> dict[str, Any]:
        path, fresh = self.folder / SENT_FILE, self._new_state()
        known = read_json(path) if path.is_file() else fresh
        return known if isinstance(known, dict) and known.get("uri") == fresh["uri"] else fresh


def send_journal(folder: str | Path, uri: str) -> int:
    """Send a journal that no process writes to any more; one whose process died without a word ends as FAILED.

    Args:
        folder: Folder of the journal.
        uri: Address of the store.

    Returns:
        Number of entries that were sent.

    Raises:
        RuntimeError: another process sends this journal, or the store refused an entry for good.
        Exception: the store cannot be reached; what it confirmed is kept.
    """
    folder = Path(folder)
    try:
        with FileLock(folder / SENDER_LOCK_FILE, timeout=0):
            close_if_abandoned(folder)
            sender = Sender(folder, uri)
            n_before = sender.n_unsent
            sender.send()
            return n_before - sender.n_unsent
    except Timeout as err:
        raise RuntimeError(
            f"a run must be sent by one process, however: another one sends {folder.name} now: wait for its end"
        ) from err


def close_if_abandoned(folder: Path) -> None:
    """Write the end of a run whose process is gone and could not: killed, out of memory, or crashed.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> writer = JournalWriter(folder)
        >>> writer.write("start")
        >>> writer.close()
        >>> close_if_abandoned(folder)
        >>> [entry.get("status") for entry in read_entries(folder)]
        [None, 'FAILED']
    """
    entries = read_entries(folder)
    if not entries or entries[-1]["kind"] == "end" or is_running(folder):
        return
    writer = JournalWriter(folder)
    writer.write("end", status="FAILED", reason="the process ended without a word")
    writer.close()


def _dataset_input(dataset: dict[str, Any]) -> Any:
    import json

    from mlflow.entities import Dataset, DatasetInput, InputTag

    about = Dataset(
        name=dataset["name"],
        digest=dataset["digest"],
        source_type="dymo_med cohort",
        source=json.dumps({"cohort_digest": dataset["cohort_digest"]}),
        profile=json.dumps(dataset["counts"]),
    )
    return DatasetInput(about, [InputTag("mlflow.data.context", dataset["context"])])
