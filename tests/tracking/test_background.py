"""Sending processes: many at once, of runs that end well, crash or are killed; stores that fail."""

import json
import multiprocessing
import os
import signal
import time

import pytest

from dymo_med.cli import main
from dymo_med.tracking import background, read_entries, send_journal
from dymo_med.tracking.background import follow, start_sender
from dymo_med.utils import read_json
from tests.tracking.journals import CHILDREN, complete, complete_with_children, start
from tests.tracking.stores import client, free_port, hanging_server, runs_in, server, stop

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")

FORK = multiprocessing.get_context("fork")
ENDS = ["finish", "finish", "finish", "finish", "error", "exit", "term", "kill"]


@pytest.fixture
def impatient(monkeypatch):
    """Short pauses and short requests."""
    monkeypatch.setattr(background, "_FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(background, "_LOOK_SECONDS", 0.05)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def _train(folder, uri, end, number):
    """One run: it starts its sender, logs its own number twice, and ends in its own way."""
    writer = start(folder, key=f"{number:032d}", name=f"train {number}", params={"number": str(number)})
    sender = FORK.Process(target=follow, args=(folder, uri, os.getpid()))
    sender.start()
    (folder / "sender.pid").write_text(str(sender.pid))
    for step in (1, 2):
        writer.write("metrics", step=step, values={"number": number + step / 10})
        time.sleep(0.2)
    if end == "error":
        writer.write("end", status="FAILED", reason="ZeroDivisionError")
    if end == "finish":
        writer.write("end", status="FINISHED", reason="")
        sender.join()
    if end in ("term", "kill"):
        os.kill(os.getpid(), signal.SIGTERM if end == "term" else signal.SIGKILL)
    os._exit(0)


def _wait_for_end(folder, seconds=200):
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        sent = read_json(folder / "sent.json") if (folder / "sent.json").is_file() else {"journal.jsonl": 0}
        entries = read_entries(folder)
        if entries and entries[-1]["kind"] == "end" and sent["journal.jsonl"] == len(entries):
            return
        time.sleep(0.2)
    raise AssertionError(f"{folder} is not sent")


def test_eight_runs_at_once_on_a_fresh_store_are_eight_clean_runs(tmp_path):
    """Four finish; an error, an exit without a word, SIGTERM and kill -9 are failed runs, without anybody's help."""
    import mlflow  # noqa: F401 - here, once, and not in every process

    uri = f"sqlite:///{tmp_path / 'eval' / 'mlflow.db'}"
    folders = [tmp_path / "eval" / "train" / "tracking" / f"{number:032d}" for number in range(8)]
    processes = [
        FORK.Process(target=_train, args=(folder, uri, end, number))
        for number, (folder, end) in enumerate(zip(folders, ENDS, strict=True))
    ]
    for process in processes:
        process.start()
    for process, folder in zip(processes, folders, strict=True):
        process.join(200)
        _wait_for_end(folder)
    runs = {run.data.params["number"]: run for run in runs_in(uri)}
    assert len(runs_in(uri)) == len(runs) == 8
    for number, end in enumerate(ENDS):
        run = runs[str(number)]
        assert run.info.status == ("FINISHED" if end == "finish" else "FAILED"), end
        assert run.info.run_name == f"train {number}"
        assert run.data.metrics == {"number": number + 0.2}
    assert [process.exitcode for process in processes] == [0] * 6 + [-signal.SIGTERM, -signal.SIGKILL]


@pytest.mark.slow
def test_real_sending_process_ends_with_its_run(tmp_path, copy_store, monkeypatch):
    uri = f"sqlite:///{copy_store(tmp_path / 'eval') / 'mlflow.db'}"
    folder = complete(tmp_path / "eval" / "train" / "tracking" / "a")
    assert start_sender(folder, uri).wait(200) == 0
    (run,) = runs_in(uri)
    assert run.info.status == "FINISHED"
    assert any(name.startswith("system/cpu") for name in run.data.metrics)
    assert "Traceback" not in (folder / "sender.log").read_text()


def test_store_that_refuses_is_given_up_at_the_end_and_the_journal_stays(tmp_path, impatient):
    folder = complete(tmp_path / "run")
    assert not follow(folder, f"http://127.0.0.1:{free_port()}", os.getppid())
    assert not (folder / "sent.json").exists()
    assert len(read_entries(folder)) == 5


def test_store_that_never_answers_is_given_up_at_the_end(tmp_path, impatient):
    folder = complete(tmp_path / "run")
    with hanging_server() as address:
        begin = time.monotonic()
        assert not follow(folder, address, os.getppid())
        assert time.monotonic() - begin < 30
    assert not (folder / "sent.json").exists()


@pytest.mark.slow
def test_server_takes_a_run_dies_midway_and_gets_the_rest_later(tmp_path, impatient, copy_store, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")  # it answers; the machine may be busy
    port, folder = free_port(), tmp_path / "run"
    copy_store(tmp_path)
    with server(tmp_path, port) as (address, process):
        writer = start(folder)
        table = folder / "files" / "comparison.csv"
        table.parent.mkdir()
        table.write_text("pattern,auroc\nnothing hidden,0.75\n")
        writer.write("metrics", step=1, values={"loss": 0.5})
        sender = FORK.Process(target=follow, args=(folder, address, os.getpid()))
        sender.start()
        limit = time.monotonic() + 100
        while not (folder / "sent.json").is_file() or read_json(folder / "sent.json")["journal.jsonl"] < 2:
            assert time.monotonic() < limit
            time.sleep(0.1)
        assert [run.info.status for run in runs_in(address)] == ["RUNNING"]
        stop(process)
        writer.write("metrics", step=2, values={"loss": "nan"})
        writer.write("table", name="comparison.csv")
        writer.write("end", status="FINISHED", reason="")
        writer.close()
        sender.join(100)
        assert sender.exitcode == 0
        assert read_json(folder / "sent.json")["journal.jsonl"] == 2
    with server(tmp_path, port) as (address, _):
        assert send_journal(folder, address) == 3
        (run,) = runs_in(address)
        assert run.info.status == "FINISHED"
        assert str(run.data.metrics["loss"]) == "nan"
        assert [found.path for found in _artifacts(address, run)] == ["comparison.csv", "comparison.json", "figures"]
        assert run.info.artifact_uri.startswith("mlflow-artifacts:")


@pytest.mark.slow
def test_children_reach_a_server_that_comes_up_only_later(tmp_path, impatient, copy_store, monkeypatch, capsys):
    """Nobody answers during the run; ``dymo-med send-runs`` brings parent and children, linked, and nothing twice."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    port, outputs = free_port(), tmp_path / "eval" / "sweep"
    folder = complete_with_children(outputs / "tracking" / "run")
    assert not follow(folder, f"http://127.0.0.1:{port}", os.getppid())
    copy_store(tmp_path)
    with server(tmp_path, port) as (address, _):
        for sent in ("4 entries sent", "0 entries sent"):
            assert main(["send-runs", str(outputs), "--tracking-uri", address]) == 0
            lines = capsys.readouterr().out.splitlines()
            assert [line.partition(" to ")[0] for line in lines] == [f"sweep 5a5a5a: {sent}"]
        found = {run.info.run_name: run for run in runs_in(address)}
        assert len(runs_in(address)) == len(found) == 3
        parent = found.pop("sweep 5a5a5a")
        assert set(found) == set(CHILDREN)
        assert {run.data.tags["mlflow.parentRunId"] for run in found.values()} == {parent.info.run_id}
        filter_of_the_page = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
        assert len(client(address).search_runs([parent.info.experiment_id], filter_of_the_page)) == 2
        points = client(address).get_metric_history(found["greedy 5a5a5a"].info.run_id, "whole table/auroc")
        assert [point.step for point in points] == [0, 50, 100]


def _artifacts(address, run):
    return client(address).list_artifacts(run.info.run_id)


def test_addresses_with_a_password_are_nowhere_on_the_disk(tmp_path, impatient):
    folder = complete(tmp_path / "run")
    assert not follow(folder, f"http://ann:secret@127.0.0.1:{free_port()}", os.getppid())
    assert [path.name for path in folder.rglob("*") if path.is_file() and b"secret" in path.read_bytes()] == []


def test_system_metrics_are_measured_at_their_interval(tmp_path):
    from dymo_med.tracking.system import SystemMonitor

    monitor = SystemMonitor(tmp_path, interval_s=3600)
    for _ in range(3):
        monitor.sample()
    (entry,) = read_entries(tmp_path, "system.jsonl")
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= set(entry["values"])
    assert json.dumps(entry, allow_nan=False)
    again = SystemMonitor(tmp_path, interval_s=0)
    again.sample()
    assert [found["step"] for found in read_entries(tmp_path, "system.jsonl")] == [0, 1]
