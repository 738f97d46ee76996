"""From a download to predictions, errors among it: no registry id and no place of the data is told anywhere."""

import logging

import pandas as pd
import pytest

from dymo_med.cli import main
from dymo_med.data.cohort import Cohort
from dymo_med.privacy import Allowances, Kind, scan_paths
from tests.bundles.runs import CAD, THIRD_PARTY_WARNINGS, TIP, run
from tests.privacy.reading import tells, told_by

pytestmark = [pytest.mark.slow, *THIRD_PARTY_WARNINGS]

SIZE = ("--n-slices", "3", "--n-frames", "8", "--rows", "48", "--columns", "48")
IMAGE = ("--image-size", "32", "--image-spacing", "4", "--data-kind", "simulated")


def synth(folder, *more):
    assert main(["synth", "--output", str(folder), *SIZE, *more]) == 0
    return set(pd.read_csv(folder / "truth.csv", dtype="str")["eid"])


def prepare(download, work, name, *more):
    words = ["--tables", str(download / "participants.csv"), "--images", str(download / "imaging")]
    words += ["--output", str(work / name), "--key-file", str(download.parent / "keys" / "key")]
    return main(["prepare", *words, *IMAGE, *more])


def test_nothing_that_a_run_writes_or_says_tells_an_id(tmp_path, process_state, copy_store, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    source, work = tmp_path / "registry", tmp_path / "work"
    (source / "keys").mkdir(parents=True)
    (source / "keys" / "key").write_text("5a" * 32 + "\n")
    (source / "keys" / "key").chmod(0o600)
    first, new = source / "first", source / "new"
    ids = synth(first, "--n-subjects", "28", "--seed", "1")
    ids |= synth(new, "--n-subjects", "16", "--seed", "2", "--table-absent-rate", "0.3", "--faults")
    gone = sorted(ids)[3]
    (source / "withdrawn.csv").write_text(f"{gone}\n")
    capfd.readouterr()  # what the simulation says is no part of a run

    assert prepare(first, work, "cohort", "--withdrawn", str(source / "withdrawn.csv")) == 0
    assert prepare(new, work, "new", "--schema", str(work / "cohort")) == 0
    (source / "bad.csv").write_text(f"eid,31-0.0\n{gone},x,{gone}\n")
    assert main(["prepare", "--tables", str(source / "bad.csv"), *_rest(first, work)]) == 2
    assert main(["prepare", "--tables", str(first / "truth.csv"), *_rest(first, work)]) == 2

    copy_store(work / "run" / "eval")
    run(TIP, bundle_root=work / "run", dataset_dir=work / "cohort")
    run(CAD, bundle_root=work / "run", dataset_dir=work / "cohort")
    run(CAD, "evaluate.yaml", bundle_root=work / "run", dataset_dir=work / "cohort")
    run(CAD, "inference.yaml", bundle_root=work / "run", dataset_dir=work / "new")

    assert len(Cohort(work / "new").set_aside) == 8
    kinds = {path.suffix for path in work.rglob("*") if path.is_file()}
    assert {".json", ".parquet", ".npy", ".html", ".pt", ".db", ".csv", ".jsonl"} <= kinds
    assert told_by(work, ids, [str(source)]) == []
    out, err = capfd.readouterr()
    assert "error: " in err
    for said in (out, err, caplog.text):
        assert said
        assert not tells(said, ids, [f"{source}/first", f"{source}/new"])
    found = scan_paths([work], Allowances()).findings
    assert [finding for finding in found if finding.kind in (Kind.ID, Kind.ID_IN_NAME, Kind.ID_COLUMN)] == []


def _rest(download, work):
    words = ["--images", str(download / "imaging"), "--output", str(work / "none"), "--key-file"]
    return [*words, str(download.parent / "keys" / "key"), *IMAGE]
