"""Stores of MLflow to send to, good ones and bad ones, and a sender without a process of its own."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

from dymo_med.tracking import Sender


class SendsAtTheEnd:
    """Stands in for the sending process: sends all, here, when the run waits for it."""

    def __init__(self, folder, uri, **_):
        self.sender = Sender(folder, uri)

    def wait(self, *_):
        self.sender.send()
        return 0


def client(uri):
    import mlflow

    return mlflow.MlflowClient(uri, registry_uri=uri)


def runs_in(uri):
    """All runs of a store, oldest first."""
    found = client(uri)
    experiments = [experiment.experiment_id for experiment in found.search_experiments()]
    return sorted(found.search_runs(experiments), key=lambda run: run.info.start_time)


def table_of(uri, run, name):
    """A table artifact as MLflow's pages show it."""
    import pandas as pd

    content = json.loads(Path(client(uri).download_artifacts(run.info.run_id, name)).read_text())
    return pd.DataFrame(content["data"], columns=content["columns"])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def server(folder, port=None):
    """A real ``mlflow server`` on loopback over the SQLite store of a folder; gives its address and its process."""
    port = port or free_port()
    words = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--artifacts-destination", str(folder / "up")]
    log = (folder / "server.log").open("ab")
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # evaluation of chat models: seconds
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", *words, *stores],
        stdout=log,
        stderr=log,
        start_new_session=True,
        env=environment,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, process)
        yield address, process
    finally:
        stop(process)
        log.close()


def stop(process):
    """End a server and its workers."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait()


@contextlib.contextmanager
def hanging_server():
    """A server that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = []

        def take():
            with contextlib.suppress(OSError):
                while True:
                    taken.append(listener.accept()[0])

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        for connection in taken:
            connection.close()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def _wait_for(address, process, seconds=400):
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=2):
            return
        time.sleep(0.2)
    raise AssertionError(f"no server at {address}")
