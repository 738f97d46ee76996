"""``dymo-med send-runs``: what is left over goes to its store, run by run."""

import pytest

from dymo_med.cli import main
from dymo_med.tracking import JournalWriter
from tests.tracking.journals import complete, start
from tests.tracking.stores import free_port, runs_in

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture
def outputs(tmp_path, copy_store, monkeypatch):
    """Two runs, one of them killed, and a store beside their outputs."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    copy_store(tmp_path / "eval")
    complete(tmp_path / "eval" / "train" / "tracking" / "a", key="a" * 32, name="train aaaaaa")
    start(tmp_path / "eval" / "evaluate" / "tracking" / "b", key="b" * 32, name="evaluate bbbbbb").close()
    return tmp_path / "eval"


def stored(folder):
    return {run.info.run_name: run.info.status for run in runs_in(f"sqlite:///{folder / 'mlflow.db'}")}


def test_runs_go_to_the_store_beside_their_outputs(outputs, capsys):
    assert main(["send-runs", str(outputs)]) == 0
    assert stored(outputs) == {"train aaaaaa": "FINISHED", "evaluate bbbbbb": "FAILED"}
    text = capsys.readouterr().out
    assert "train aaaaaa: 5 entries sent to sqlite:///" in text
    assert main(["send-runs", str(outputs)]) == 0
    assert "train aaaaaa: 0 entries sent" in capsys.readouterr().out
    assert len(runs_in(f"sqlite:///{outputs / 'mlflow.db'}")) == 2


@pytest.mark.parametrize("how", ["option", "environment"])
def test_named_store_goes_first(outputs, tmp_path, copy_store, monkeypatch, how):
    other = copy_store(tmp_path / "other")
    uri, words = f"sqlite:///{other / 'mlflow.db'}", ["send-runs", str(outputs)]
    if how == "environment":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert main(words if how == "environment" else [*words, "--tracking-uri", uri]) == 0
    assert (len(stored(other)), len(stored(outputs))) == (2, 0)


def test_store_out_of_reach_is_one_line_and_keeps_the_journals(outputs, capsys):
    uri = f"http://ann:secret@127.0.0.1:{free_port()}"
    assert main(["send-runs", str(outputs), "--tracking-uri", uri]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("dymo-med: error: 2 of 2 runs could not be sent (MlflowException")
    assert captured.err.count("\n") == 1
    assert "secret" not in captured.out + captured.err
    assert main(["send-runs", str(outputs)]) == 0
    assert len(stored(outputs)) == 2


def test_damaged_journal_costs_itself_only(outputs, capsys):
    path = outputs / "evaluate" / "tracking" / "b" / "journal.jsonl"
    path.write_text(path.read_text() + "no json\n")
    assert main(["send-runs", str(outputs)]) == 2
    assert "line 2 of 2" in capsys.readouterr().err
    assert stored(outputs) == {"train aaaaaa": "FINISHED"}


def test_running_run_is_left_alone(outputs, capsys):
    writer = JournalWriter(outputs / "evaluate" / "tracking" / "b")
    assert main(["send-runs", str(outputs)]) == 0
    assert "still running, left alone" in capsys.readouterr().out
    assert stored(outputs) == {"train aaaaaa": "FINISHED"}
    writer.close()


def test_folder_without_a_journal(tmp_path, capsys):
    assert main(["send-runs", str(tmp_path)]) == 2
    assert "no run journal in" in capsys.readouterr().err
