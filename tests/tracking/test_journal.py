"""Journals: whole lines only, one writer at a time, readable after a kill."""

import json
import math
import multiprocessing

import pytest

from dymo_med.tracking import JournalWriter, is_running, journals_in, read_entries
from dymo_med.tracking import journal as module
from dymo_med.tracking.journal import as_json_numbers


def test_entries_come_back_in_order_with_their_time(tmp_path):
    writer = JournalWriter(tmp_path / "run")
    for step in (1, 2):
        writer.write("metrics", step=step, values={"loss": 1 / step})
    first, second = read_entries(tmp_path / "run")
    assert (first["kind"], first["step"], first["values"], second["step"]) == ("metrics", 1, {"loss": 1.0}, 2)
    assert 0 <= second["time"] - first["time"] < 60_000
    assert first["time"] > 1_600_000_000_000  # milliseconds


def test_line_under_way_is_no_entry_and_is_cut_when_writing_goes_on(tmp_path):
    writer = JournalWriter(tmp_path)
    writer.write("tags", values={"a": "1"})
    writer.close()
    with (tmp_path / "journal.jsonl").open("ab") as file:
        file.write(b'{"kind": "met')
    assert [entry["kind"] for entry in read_entries(tmp_path)] == ["tags"]
    writer = JournalWriter(tmp_path)
    writer.write("end", status="FINISHED")
    assert [entry["kind"] for entry in read_entries(tmp_path)] == ["tags", "end"]


def test_damaged_line_is_named(tmp_path):
    (tmp_path / "journal.jsonl").write_text('{"kind": "tags"}\nno json\n{"kind": "end"}\n')
    with pytest.raises(ValueError, match=r"must be JSON, however: line 2 of 3 in .* begins b'no json'"):
        read_entries(tmp_path)


def test_numbers_that_json_lacks_are_text(tmp_path):
    values = as_json_numbers({"a": math.nan, "b": math.inf, "c": 0.5})
    assert json.loads(json.dumps(values, allow_nan=False)) == {"a": "nan", "b": "inf", "c": 0.5}
    assert math.isnan(float(values["a"]))
    with pytest.raises(ValueError, match="not JSON compliant"):
        JournalWriter(tmp_path).write("metrics", values={"a": math.nan})


def test_nested_run_is_whole_before_its_parent_names_it(tmp_path, monkeypatch):
    writer = JournalWriter(tmp_path / "tracking" / "run")
    writer.write("start")
    entries = [{"kind": "start", "key": "a"}, {"kind": "end", "status": "FINISHED"}]
    with monkeypatch.context() as patch:
        patch.setattr(writer, "write", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            writer.write_child("a", entries)
    assert [entry["kind"] for entry in read_entries(writer.folder)] == ["start"]
    writer.write_child("a", entries)  # once more, as a run that goes on does
    assert [entry["kind"] for entry in read_entries(writer.folder / "children" / "a")] == ["start", "end"]
    last = read_entries(writer.folder)[-1]
    assert (last["kind"], last["key"]) == ("child", "a")
    assert journals_in(tmp_path) == [writer.folder]  # the child goes with its parent


def _hold(folder, ready, done):
    writer = JournalWriter(folder)
    writer.write("start")
    ready.set()
    done.wait(60)
    writer.close()


def test_second_writer_is_refused_while_the_first_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_TAKE_OVER_SECONDS", 0.1)
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path, ready, done))
    process.start()
    assert ready.wait(60)
    assert is_running(tmp_path)
    with pytest.raises(RuntimeError, match="written by one process, however: another one has written"):
        JournalWriter(tmp_path)
    process.kill()
    process.join()
    assert not is_running(tmp_path)
    JournalWriter(tmp_path).write("end")
    assert [entry["kind"] for entry in read_entries(tmp_path)] == ["start", "end"]


def test_journals_are_found_at_any_depth_the_oldest_first(tmp_path):
    for time, name in ((30, "a/tracking/x"), (10, "b/tracking/y"), (20, "z")):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "journal.jsonl").write_text(f'{{"kind": "start", "time": {time}}}\n')
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "journal.jsonl").write_text("")
    assert [path.name for path in journals_in(tmp_path)] == ["y", "z", "x"]


def test_kept_file_stays_as_it_was(tmp_path):
    source = tmp_path / "a.csv"
    source.write_text("1\n")
    JournalWriter(tmp_path / "run").keep_file(source, "a.csv")
    source.write_text("2\n")
    assert (tmp_path / "run" / "files" / "a.csv").read_text() == "1\n"
