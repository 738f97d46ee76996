"""Journals as runs write them."""

from dymo_med.tracking import JournalWriter

KEY = "5a" * 16
CHILDREN = {"greedy 5a5a5a": "1c" * 16, "discard 5a5a5a": "2d" * 16}
DATASET = {
    "name": "simulated cohort, train",
    "context": "training",
    "digest": "ab" * 16,
    "cohort_digest": "cd" * 32,
    "counts": {"subjects": 12, "cad = 1": 3},
}


def start(folder, **changes):
    """An open journal with its first entry."""
    writer = JournalWriter(folder)
    writer.write("start", **_first() | changes)
    return writer


def _first():
    return {
        "key": KEY,
        "experiment": "heart",
        "name": "train 5a5a5a",
        "params": {"seed": "7", "long": "a" * 7000},
        "tags": {"data_kind": "simulated", "code.commit": "e" * 40, "code.dirty": "true"},
        "datasets": [DATASET],
        "weights": {},
        "about": "Training of the heart.",
        "uri": "",
    }


def complete(folder, status="FINISHED", **changes):
    """A journal with two epochs, a table and its end."""
    writer = start(folder, **changes)
    for step in (1, 2):
        writer.write("metrics", step=step, values={"train/loss": 1 / step, "validation/auroc": 0.5 + step / 10})
    table = folder / "files" / "comparison.csv"
    table.parent.mkdir(exist_ok=True)
    table.write_text("pattern,auroc\nnothing hidden,0.75\nall hidden,\n")
    writer.write("table", name="comparison.csv")
    writer.write("end", status=status, reason="" if status == "FINISHED" else "ZeroDivisionError")
    writer.close()
    return folder


def complete_with_children(folder):
    """A journal of a sweep: metrics of two nested runs by missing rate."""
    writer = start(folder, name="sweep 5a5a5a")
    for name, key in CHILDREN.items():
        entries = [{"kind": "metrics", "step": rate, "values": {"whole table/auroc": 0.5 + rate / 1000}}
                   for rate in (0, 50, 100)]  # fmt: skip
        first = _first() | {"kind": "start", "key": key, "name": name, "params": {"strategy": name.split()[0]}}
        writer.write_child(key, [first, *entries, {"kind": "end", "status": "FINISHED", "reason": ""}])
    writer.write("end", status="FINISHED", reason="")
    writer.close()
    return folder
