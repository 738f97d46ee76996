"""Journals in an SQLite store of MLflow: everything once, as often as it is sent."""

import json
import math

import pytest

from dymo_med.tracking import JournalWriter, Sender, read_entries, send_journal
from dymo_med.tracking.system import SystemMonitor
from dymo_med.utils import read_json, write_json
from tests.tracking.journals import CHILDREN, DATASET, KEY, complete, complete_with_children, start
from tests.tracking.stores import client, runs_in, table_of

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture
def uri(tmp_path, copy_store):
    return f"sqlite:///{copy_store(tmp_path / 'eval') / 'mlflow.db'}"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "eval" / "train" / "tracking" / KEY


def history(uri, run, name):
    return [(metric.step, metric.value) for metric in client(uri).get_metric_history(run.info.run_id, name)]


def artifacts(uri, run, path=None):
    return sorted(found.path for found in client(uri).list_artifacts(run.info.run_id, path))


def test_everything_of_a_run_arrives(uri, folder):
    assert send_journal(complete(folder), uri) == 5
    (run,) = runs_in(uri)
    assert (run.info.run_name, run.info.status) == ("train 5a5a5a", "FINISHED")
    assert run.data.params == {"seed": "7", "long": "a" * 6000}
    assert run.data.tags["dymo_med.run"] == KEY
    assert run.data.tags["data_kind"] == "simulated"
    assert history(uri, run, "train/loss") == [(1, 1.0), (2, 0.5)]
    assert history(uri, run, "validation/auroc") == [(1, 0.6), (2, 0.7)]
    assert artifacts(uri, run) == ["comparison.csv", "comparison.json", "figures"]
    assert artifacts(uri, run, "figures") == ["figures/auroc.png", "figures/loss.png"]
    entries = read_entries(folder)
    assert (run.info.start_time, run.info.end_time) == (entries[0]["time"], entries[-1]["time"])


def test_data_set_is_counts_and_digests(uri, folder):
    send_journal(complete(folder), uri)
    (given,) = runs_in(uri)[0].inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == (DATASET["name"], DATASET["digest"])
    assert json.loads(given.dataset.profile) == DATASET["counts"]
    assert json.loads(given.dataset.source) == {"cohort_digest": DATASET["cohort_digest"]}
    assert {tag.key: tag.value for tag in given.tags} == {"mlflow.data.context": "training"}


def test_table_can_be_loaded_as_a_table(uri, folder):
    send_journal(complete(folder), uri)
    (run,) = runs_in(uri)
    table = table_of(uri, run, "comparison.json")
    assert table["pattern"].tolist() == ["nothing hidden", "all hidden"]
    assert table["auroc"][0] == 0.75
    assert math.isnan(table["auroc"][1])


def content_of(uri):
    """All that a reviewer can see of the only run."""
    (run,) = runs_in(uri)
    table = table_of(uri, run, "comparison.json")
    metrics = {name: client(uri).get_metric_history(run.info.run_id, name) for name in run.data.metrics}
    seen = {name: [(point.step, point.value, point.timestamp) for point in points] for name, points in metrics.items()}
    return run.data.to_dictionary(), seen, run.info.status, len(run.inputs.dataset_inputs), len(table)


def test_lost_confirmations_change_nothing(uri, folder):
    """As after a crash between the answer of the store and the note of it, at any place."""
    complete(folder)
    send_journal(folder, uri)
    before, state = content_of(uri), read_json(folder / "sent.json")
    for n_confirmed in range(len(read_entries(folder))):
        write_json(
            folder / "sent.json",
            state | {"journal.jsonl": n_confirmed, "run_id": None if n_confirmed == 0 else state["run_id"]},
        )
        send_journal(folder, uri)
        assert content_of(uri) == before


def test_nothing_is_sent_twice(uri, folder):
    complete(folder)
    assert [send_journal(folder, uri) for _ in range(2)] == [5, 0]


def test_growing_journal_is_sent_from_where_it_stood(uri, folder):
    writer, sender = start(folder), Sender(folder, uri)
    sender.send()
    assert runs_in(uri)[0].info.status == "RUNNING"
    writer.write("metrics", step=1, values={"loss": "nan"})
    assert sender.n_unsent == 1
    sender.send()
    assert sender.n_unsent == 0
    (run,) = runs_in(uri)
    assert math.isnan(run.data.metrics["loss"])


def test_many_metrics_arrive_all(uri, folder):
    writer = start(folder, params={f"p{at}": str(at) for at in range(150)})
    for step in range(130):
        writer.write("metrics", step=step, values={"a": step, "b": -step})
    writer.close()
    send_journal(folder, uri)
    (run,) = runs_in(uri)
    assert len(run.data.params) == 150
    assert history(uri, run, "b") == [(step, -step) for step in range(130)]


def test_more_metrics_than_a_request_holds_arrive_all(uri, folder, monkeypatch):
    import mlflow

    sizes, log_batch = [], mlflow.MlflowClient.log_batch

    def counted(self, run_id, metrics=(), **options):
        sizes.append(len(metrics))
        return log_batch(self, run_id, metrics=metrics, **options)

    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", counted)
    writer = start(folder)
    for step in range(23):
        writer.write("metrics", step=step, values={f"m{at}": step for at in range(90)})
    writer.close()
    send_journal(folder, uri)
    assert [size for size in sizes if size] == [990, 990, 90]
    assert [step for step, _ in history(uri, runs_in(uri)[0], "m89")] == list(range(23))


def nested(uri):
    """The run that is no child, and the others by name; all children are linked to it."""
    (parent,) = [run for run in runs_in(uri) if "mlflow.parentRunId" not in run.data.tags]
    children = {run.info.run_name: run for run in runs_in(uri) if run.info.run_id != parent.info.run_id}
    assert {child.data.tags["mlflow.parentRunId"] for child in children.values()} <= {parent.info.run_id}
    return parent, children


def test_nested_runs_are_linked_to_their_parent(uri, folder):
    assert send_journal(complete_with_children(folder), uri) == 4
    parent, children = nested(uri)
    assert {name: run.data.tags["dymo_med.run"] for name, run in children.items()} == CHILDREN
    assert {run.info.status for run in (parent, *children.values())} == {"FINISHED"}
    greedy = children["greedy 5a5a5a"]
    assert greedy.data.params == {"strategy": "greedy"}
    assert history(uri, greedy, "whole table/auroc") == [(0, 0.5), (50, 0.55), (100, 0.6)]
    assert artifacts(uri, greedy) == []  # no curves over epochs: its steps are none


@pytest.mark.parametrize("n_confirmed", range(4))
def test_lost_confirmations_make_no_second_child(uri, folder, n_confirmed):
    send_journal(complete_with_children(folder), uri)
    state, before = read_json(folder / "sent.json"), {run.info.run_id for run in runs_in(uri)}
    write_json(folder / "sent.json", state | {"journal.jsonl": n_confirmed})
    for key in CHILDREN.values():
        (folder / "children" / key / "sent.json").unlink()
    send_journal(folder, uri)
    assert {run.info.run_id for run in runs_in(uri)} == before
    assert len(nested(uri)[1]) == 2


def test_store_that_fails_amid_the_children_gets_the_rest_later(uri, folder, monkeypatch):
    import mlflow

    complete_with_children(folder)
    create_run, made = mlflow.MlflowClient.create_run, []

    def fail_at_the_third(self, *words, **options):
        if len(made) == 2:
            raise ConnectionError("gone")
        made.append(create_run(self, *words, **options))
        return made[-1]

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, "create_run", fail_at_the_third)
        with pytest.raises(ConnectionError):
            send_journal(folder, uri)
    assert len(nested(uri)[1]) == 1
    send_journal(folder, uri)
    assert set(nested(uri)[1]) == set(CHILDREN)


def test_another_store_gets_the_children_too(uri, folder, tmp_path, copy_store):
    send_journal(complete_with_children(folder), uri)
    other = f"sqlite:///{copy_store(tmp_path / 'other') / 'mlflow.db'}"
    send_journal(folder, other)
    assert set(nested(other)[1]) == set(CHILDREN)


def test_child_that_is_gone_is_passed_over(uri, folder, caplog):
    complete_with_children(folder)
    (folder / "children" / CHILDREN["greedy 5a5a5a"] / "journal.jsonl").unlink()
    send_journal(folder, uri)
    assert "a nested run must stay until it is sent, however: 1c1c1c is gone" in caplog.text
    parent, children = nested(uri)
    assert (parent.info.status, set(children)) == ("FINISHED", {"discard 5a5a5a"})


def test_load_of_the_machine_comes_after_the_first_scores(uri, folder):
    """MLflow lists metrics as they first came, and compares runs by the first of them."""
    writer = start(folder)
    SystemMonitor(folder).sample()
    sender = Sender(folder, uri)
    sender.send()
    assert (runs_in(uri)[0].data.metrics, sender.n_unsent) == ({}, 1)
    writer.write("metrics", step=1, values={"validation/auroc": 0.6})
    sender.send()
    first, *others = runs_in(uri)[0].data.metrics
    assert first == "validation/auroc"
    assert "system/cpu_utilization_percentage" in others


def test_another_store_gets_the_whole_run(uri, folder, tmp_path, copy_store):
    complete(folder)
    send_journal(folder, uri)
    other = f"sqlite:///{copy_store(tmp_path / 'other') / 'mlflow.db'}"
    assert send_journal(folder, other) == 5
    assert content_of(other) == content_of(uri)


def test_run_that_was_deleted_with_its_store_is_sent_again(uri, folder):
    complete(folder)
    send_journal(folder, uri)
    write_json(folder / "sent.json", read_json(folder / "sent.json") | {"run_id": "0" * 32})
    assert Sender(folder, uri).n_unsent == 0
    send_journal(folder, uri)
    assert read_json(folder / "sent.json")["run_id"] == runs_in(uri)[0].info.run_id


def test_process_that_died_without_a_word_is_failed(uri, folder):
    start(folder).close()
    send_journal(folder, uri)
    (run,) = runs_in(uri)
    assert (run.info.status, run.data.tags["failure"]) == ("FAILED", "the process ended without a word")


def test_run_that_goes_on_is_one_run(uri, folder):
    start(folder).close()
    send_journal(folder, uri)
    assert runs_in(uri)[0].data.tags["failure"] == "the process ended without a word"
    writer = JournalWriter(folder)
    writer.write("continue", tags={"code.dirty": "false"})
    send_running = Sender(folder, uri)
    send_running.send()
    assert [run.info.status for run in runs_in(uri)] == ["RUNNING"]
    writer.write("end", status="FINISHED", reason="")
    send_running.send()
    (run,) = runs_in(uri)
    assert (run.info.status, run.data.tags["code.dirty"]) == ("FINISHED", "false")
    assert "failure" not in run.data.tags


def test_file_goes_into_its_folder(uri, folder):
    writer = start(folder)
    for name in ("report.html", "figures/auroc.png"):
        writer.keep_file(__file__, name)
        writer.write("file", name=name)
    writer.close()
    send_journal(folder, uri)
    (run,) = runs_in(uri)
    assert artifacts(uri, run) == ["figures", "report.html"]
    assert artifacts(uri, run, "figures") == ["figures/auroc.png"]


def test_entry_that_a_store_refuses_is_noted_and_the_rest_goes_on(uri, folder, caplog):
    writer = start(folder)
    writer.write("metrics", step=1, values={"not : a % name": 1.0})
    writer.write("end", status="FINISHED", reason="")
    writer.close()
    send_journal(folder, uri)
    assert read_json(folder / "sent.json")["refused"] == ["metrics"]
    assert "an entry of kind metrics cannot be sent" in caplog.text
    assert runs_in(uri)[0].info.status == "FINISHED"


def test_description_says_data_code_and_origin_of_weights(uri, folder, tmp_path):
    complete(folder)
    send_journal(folder, uri)
    (made_here,) = runs_in(uri)
    known = {"sha256": "1" * 64, "run": KEY, "cohort_digest": "2" * 64, "code_commit": "3" * 40}
    weights = {
        "classifier": known,
        "recovery": known | {"run": "0" * 32},
        "other": {"sha256": "4" * 64, "record": "of other weights"},
    }
    send_journal(complete(tmp_path / "second", key="7b" * 16, weights=weights), uri)
    text = runs_in(uri)[1].data.tags["mlflow.note.content"].splitlines()
    info = made_here.info
    link = f"[train 5a5a5a](#/experiments/{info.experiment_id}/runs/{info.run_id})"
    assert text == [
        "Training of the heart.",
        "",
        "- training: subjects: 12, cad = 1: 3; digest `abababababab`",
        f"- weights of the classifier: `111111111111`, made by run {link}; cohort `222222222222`, code `333333333333`",
        "- weights of the recovery: `111111111111`, made by run `000000000000`, which is not in this store; "
        "cohort `222222222222`, code `333333333333`",
        "- weights of the other: `444444444444`, of unknown origin (record: of other weights)",
        "- code: `eeeeeeeeeeee`, with changes that are not committed",
    ]


def test_two_processes_never_send_one_journal(uri, folder):
    from filelock import FileLock

    complete(folder)
    with FileLock(folder / "sender.lock"), pytest.raises(RuntimeError, match="sent by one process, however: another"):
        send_journal(folder, uri)
