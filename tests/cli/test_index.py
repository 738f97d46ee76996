"""The list of images by shard: written only when it changes, and telling no id."""

import json
import os
import shutil

import pytest

from dymo_med.cli import main


@pytest.fixture
def images(download, tmp_path):
    shutil.copytree(download / "imaging", tmp_path / "imaging")
    return tmp_path / "imaging"


def index(images, output, *more):
    key = str(output.parent / "key")
    return main(["index", "--images", str(images), "--key-file", key, "--output", str(output), *more])


def test_only_what_changed_is_written(images, tmp_path, capsys):
    output = tmp_path / "index"
    assert index(images, output, "--n-shards", "2") == 0
    assert [path.name for path in sorted(output.iterdir())] == ["shard-1-of-2.json", "shard-2-of-2.json"]
    stamps = {path: path.stat().st_mtime_ns for path in output.iterdir()}
    (images / "README").touch()
    assert index(images, output, "--n-shards", "2") == 0
    assert "2 shards, 0 of them new or changed" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in output.iterdir()} == stamps
    os.utime(next(images.rglob("*.zip")), ns=(1, 1))
    assert index(images, output, "--n-shards", "2") == 0
    assert "1 of them new or changed" in capsys.readouterr().out


def test_lists_count_every_image_and_leave_out_who_has_withdrawn(images, tmp_path):
    assert index(images, tmp_path / "all") == 0
    n_images = json.loads((tmp_path / "all" / "shard-1-of-1.json").read_text())["n_images"]
    registry_id = next(images.rglob("*.zip")).name.split("_")[0]
    (tmp_path / "gone.csv").write_text(registry_id + "\n")
    assert index(images, tmp_path / "few", "--withdrawn", str(tmp_path / "gone.csv")) == 0
    text = (tmp_path / "few" / "shard-1-of-1.json").read_text()
    assert json.loads(text)["n_images"] == n_images - 1
    assert registry_id not in text


def test_no_shards_are_refused(images, tmp_path, capsys):
    assert index(images, tmp_path / "index", "--n-shards", "0") == 2
    assert "--n-shards must be a positive integer, however: --n-shards=0" in capsys.readouterr().err
