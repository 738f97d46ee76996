"""From a download to a cohort, by the command."""

import re

import pandas as pd
import pytest

from dymo_med.data.cohort import Cohort
from dymo_med.data.cohort.lock import writing_to
from tests.cli.conftest import IMAGE, prepare


def registry_ids(download):
    return set(pd.read_csv(download / "truth.csv", dtype="str")["eid"])


def _never(source, *, size, spacing_mm):
    raise RuntimeError("an image was read")


def test_a_download_becomes_a_cohort(trained, download, capsys):
    assert trained.splits == ["test", "train", "val"]
    assert trained.tasks == ["cad", "infarction"]
    assert trained.data_kind == "simulated"
    assert trained.image_shape == (3, 24, 24)
    items = trained.items()
    assert any(item["image"] is None for item in items)
    assert any(item["table"] is None for item in items)
    assert all(trained.read_image(item["image"]).max() <= 1 for item in items if item["image"])
    assert len(items) + len(trained.set_aside) >= 22


def test_faulty_subjects_are_set_aside_and_no_registry_id_is_told(trained, download):
    assert set(trained.set_aside["stage"]) == {"image", "table"}
    ids = registry_ids(download)
    for path in trained.folder.rglob("*"):
        if path.is_file():
            found = set(re.findall(rb"(?<![0-9.])[0-9]{7}(?![0-9])", path.read_bytes()))
            assert not found & {registry_id.encode() for registry_id in ids}, path.name


def test_running_again_reads_no_image(trained, download, monkeypatch, capsys):
    monkeypatch.setattr("dymo_med.data.cohort.writing.read_model_image", _never)
    stable = [trained.folder / "cohort.json", *(trained.folder / "frames").iterdir()]
    digest, stamps = trained.digest, [path.stat().st_mtime_ns for path in stable]
    assert prepare(download, trained.folder, *IMAGE) == 0
    assert Cohort(trained.folder).digest == digest
    assert [path.stat().st_mtime_ns for path in stable] == stamps
    assert f"{len(trained)} subjects" in capsys.readouterr().out


def test_a_trained_schema_puts_everybody_in_new(trained, download, tmp_path):
    assert prepare(download, tmp_path / "new", *IMAGE, "--schema", str(trained.folder), "--labels") == 0
    cohort = Cohort(tmp_path / "new")
    assert cohort.splits == ["new"]
    assert cohort.tasks == []
    assert cohort.schema == trained.schema


def test_other_image_settings_than_those_of_training_are_refused(trained, download, tmp_path, capsys):
    assert prepare(download, tmp_path / "new", "--image-size", "24", "--schema", str(trained.folder)) == 2
    error = capsys.readouterr().err
    assert (
        "as those of the trained cohort, however: --image-size 24 --image-spacing 1.8, trained with 24 and 4.0" in error
    )


def test_the_key_stays_out_of_the_cohort(download, tmp_path, capsys):
    assert prepare(download, download.parent) == 2
    assert "the key must not lie in the cohort, however: --key-file" in capsys.readouterr().err


def test_an_absent_table_is_one_line(download, tmp_path, capsys):
    assert prepare(download / "none", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.startswith("dymo-med: error: ")
    assert error.count("\n") == 1


def test_shards_of_the_command_and_then_all_of_it(trained, download, tmp_path, capsys):
    output = tmp_path / "sharded"
    for number in (2, 1):
        assert prepare(download, output, *IMAGE, "--shard", f"{number}/2") == 0
    said = capsys.readouterr().out
    assert "shard 2 of 2: 0 images in" in said
    assert not (output / "cohort.json").exists()
    assert prepare(download, output, *IMAGE) == 0
    for path in trained.folder.rglob("*"):
        if path.is_file():
            assert (output / path.relative_to(trained.folder)).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize(
    ("shard", "message"),
    [("3", "a number, a slash and the number of shards, however: '3'"), ("3/2", "however: 3 of 2")],
)
def test_a_shard_that_does_not_exist(download, tmp_path, capsys, shard, message):
    assert prepare(download, tmp_path / "out", *IMAGE, "--shard", shard) == 2
    assert message in capsys.readouterr().err


def test_two_at_once_on_one_cohort_is_one_line(download, tmp_path, capsys):
    with writing_to(tmp_path / "out", is_shard=True):
        assert prepare(download, tmp_path / "out", *IMAGE) == 2
        assert "another one is at work in out: wait for its end, then run again" in capsys.readouterr().err
        assert prepare(download, tmp_path / "out", *IMAGE, "--shard", "2/2") == 0
    with writing_to(tmp_path / "out"):
        assert prepare(download, tmp_path / "out", *IMAGE, "--shard", "2/2") == 2


def test_where_nothing_can_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    message = r"a folder to write in, however: out is none \(Not a directory\): choose another one"
    with pytest.raises(OSError, match=message), writing_to(tmp_path / "file" / "out"):
        pass


def test_a_shard_keeps_a_key_out_of_the_cohort_too(download, capsys):
    assert prepare(download, download.parent, "--shard", "1/1") == 2
    assert "the key must not lie in the cohort" in capsys.readouterr().err
