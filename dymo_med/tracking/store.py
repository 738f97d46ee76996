"""Connections to a store of MLflow: timeouts, no telemetry, tables made once."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from filelock import FileLock

__all__ = ["connect", "default_store", "disable_telemetry", "experiment_of", "without_credentials"]

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # whoever sends tries again anyway
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_FIRST_USE_SECONDS = 300.0


def disable_telemetry() -> None:
    """Switch off MLflow's telemetry, for this process and those it starts, even if MLflow is imported already.

    MONAI imports MLflow before a bundle can say anything; nothing has been recorded by then.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    if "mlflow" in sys.modules:
        from mlflow.telemetry import set_telemetry_client

        set_telemetry_client()  # type: ignore[no-untyped-call]


def default_store(output_dir: str | Path) -> str:
    """Give the SQLite store beside an output folder.

    Example:
        >>> default_store("/runs/cad/eval/train")
        'sqlite:////runs/cad/eval/mlflow.db'
    """
    return f"sqlite:///{Path(output_dir).absolute().parent / 'mlflow.db'}"


def without_credentials(uri: str) -> str:
    """Give a store's address without user name and password.

    Example:
        >>> without_credentials("https://ann:secret@mlflow.example/api")
        'https://mlflow.example/api'
    """
    return re.sub(r"(?<=://)[^/@]*@", "", uri)


def connect(uri: str) -> Any:
    """Give a client of a store; the tables of an SQLite file are made by one process at a time.

    Requests end after ten seconds unless ``MLFLOW_HTTP_REQUEST_TIMEOUT`` says otherwise.

    Args:
        uri: Address of the store.

    Returns:
        A ``mlflow.MlflowClient`` for tracking and registry.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    disable_telemetry()
    from mlflow import MlflowClient

    with _alone_at(uri):
        client = MlflowClient(uri, registry_uri=uri)
        client.search_experiments(max_results=1)
    return client


def experiment_of(client: Any, uri: str, name: str) -> str:
    """Give the id of an experiment, made if absent.

    Args:
        client: Client of the store.
        uri: Address of the store; artifacts of an SQLite store lie beside it, those of a server where it puts them.
        name: Name of the experiment.
    """
    with _alone_at(uri):
        experiment = client.get_experiment_by_name(name)
        if experiment is not None:
            return str(experiment.experiment_id)
        path = _sqlite_path(uri)
        location = None if path is None else (path.parent / "mlflow-files").as_uri()
        from mlflow.exceptions import MlflowException

        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException as err:
            if err.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return str(client.get_experiment_by_name(name).experiment_id)


@contextmanager
def _alone_at(uri: str) -> Iterator[None]:
    """Let one process at a time use an SQLite store for what MLflow cannot do twice at once."""
    path = _sqlite_path(uri)
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock"), timeout=_FIRST_USE_SECONDS):
        yield


def _sqlite_path(uri: str) -> Path | None:
    parts = urlsplit(uri)
    if parts.scheme.partition("+")[0] != "sqlite":
        return None
    return Path(unquote(parts.path)[1:]).absolute()
