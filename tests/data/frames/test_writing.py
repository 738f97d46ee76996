"""The store of model images: idempotent, parallel, robust against bad files and cut-off runs."""

import dataclasses
import os
import pickle
import re
import resource
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dymo_med.data.frames import FrameStore, Shard, parts, write_frames, write_shard
from dymo_med.utils import SubjectError

SHAPE = (3, 6, 5)


def read_npy(source):
    """Stand in for a cine reader: each call leaves a trace beside the file."""
    with source.with_suffix(".calls").open("a") as calls:
        calls.write("x")
    array = np.load(source)
    if array.size == 1:
        fault = int(array.ravel()[0])
        if fault == 1:
            raise SubjectError("no short-axis series", where="the zip", remedy="export it again")
        if fault == 2:
            os._exit(9)
        raise KeyError("/secret/9000001")
    return array, {"slice_index": int(array.shape[1])}


@dataclasses.dataclass(frozen=True)
class Pair:
    ed: Path
    es: Path


def read_pair(source):
    return np.load(source.ed) + np.load(source.es), {}


def image_of(number, shape=SHAPE):
    return np.random.default_rng(number).random(shape, dtype=np.float32)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    for number in range(7):
        np.save(folder / f"scan{number}.npy", image_of(number))
    return {f"S{number}": folder / f"scan{number}.npy" for number in range(7)}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(parts, "MAX_IMAGES", 3)


def write(tmp_path, images, **options):
    return write_frames(tmp_path / "frames", images, read_npy, shape=SHAPE, settings={"size": 6}, **options)


def n_calls(images):
    return sum(
        len(path.with_suffix(".calls").read_text()) for path in images.values() if path.with_suffix(".calls").exists()
    )


def layout(folder):
    """Names of the parts; every file must belong to one, and every part have an index."""
    names = sorted(path.name for path in folder.iterdir())
    assert all(re.fullmatch(r"part-\d+-of-\d+(\.parquet|-[0-9a-f]{16}\.npy)", name) for name in names), names
    return [name.removesuffix(".parquet") for name in names if name.endswith(".parquet")]


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def make_newer(path, array):
    np.save(path, array)
    os.utime(path, ns=(1, time.time_ns() + 10**9))


def test_images_come_back_to_half_precision(tmp_path, images):
    store = write(tmp_path, images)
    assert len(store) == 7
    assert store.shape == SHAPE
    for number in range(7):
        image = store.read(f"S{number}")
        assert image.dtype == np.float32
        np.testing.assert_allclose(image, image_of(number), atol=5e-4)
    assert layout(tmp_path / "frames") == ["part-001-of-004", "part-002-of-004", "part-003-of-004", "part-004-of-004"]


def test_details_are_kept(tmp_path, images):
    details = write(tmp_path, images).details
    assert details.index.name == "subject_id"
    assert details["slice_index"].tolist() == [6] * 7


def test_nothing_is_read_twice(tmp_path, images):
    first = write(tmp_path, images)
    before = {path.name: path.stat().st_mtime_ns for path in first.folder.iterdir()}
    again = write(tmp_path, images)
    assert n_calls(images) == 7
    assert again.digest == first.digest
    assert {path.name: path.stat().st_mtime_ns for path in first.folder.iterdir()} == before


def test_a_changed_file_alone_is_read_again(tmp_path, images):
    first = write(tmp_path, images)
    make_newer(images["S4"], image_of(99))
    second = write(tmp_path, images)
    assert n_calls(images) == 8
    np.testing.assert_allclose(second.read("S4"), image_of(99), atol=5e-4)
    np.testing.assert_allclose(second.read("S5"), image_of(5), atol=5e-4)
    assert second.digest != first.digest


def test_a_touched_file_is_not_read_again_and_one_changed_under_the_same_size_and_time_is(tmp_path, images):
    first = write(tmp_path, images)
    before = images["S4"].stat()
    np.save(images["S4"], image_of(99))
    os.utime(images["S4"], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert images["S4"].stat().st_size == before.st_size
    os.utime(images["S5"], ns=(1, 1))
    second = write(tmp_path, images)
    assert n_calls(images) == 8
    np.testing.assert_allclose(second.read("S4"), image_of(99), atol=5e-4)
    assert second.digest != first.digest


def test_changed_settings_redo_everything_and_leave_no_old_shards(tmp_path, images):
    write(tmp_path, images)
    store = write_frames(tmp_path / "frames", images, read_npy, shape=SHAPE, settings={"size": 7})
    assert n_calls(images) == 14
    assert content(store.folder) == content(
        write_frames(tmp_path / "new", images, read_npy, shape=SHAPE, settings={"size": 7}).folder
    )


def test_a_subject_that_left_is_gone(tmp_path, images):
    write(tmp_path, images)
    del images["S3"]
    store = write(tmp_path, images)
    assert "S3" not in store
    assert len(store) == 6
    with pytest.raises(KeyError, match="no image of subject 'S3' among the 6 of the store"):
        store.read("S3")


def test_digest_tells_content_not_layout(tmp_path, images):
    whole = write(tmp_path, images)
    half = write_frames(
        tmp_path / "other", {key: images[key] for key in ("S5", "S6")}, read_npy, shape=SHAPE, settings={"size": 6}
    )
    both = write_frames(tmp_path / "other", images, read_npy, shape=SHAPE, settings={"size": 6})
    assert both.digest == whole.digest != half.digest


def test_a_bad_image_costs_its_subject_only_and_never_tells_a_path(tmp_path, images):
    np.save(images["S1"], np.array([1]))
    np.save(images["S2"], np.array([3]))
    np.save(images["S3"], image_of(3, (3, 6, 6)))
    np.save(images["S4"], np.full(SHAPE, np.nan, dtype=np.float32))
    images["S5"].unlink()
    store = write(tmp_path, images)
    assert len(store) == 2
    assert store.problems == {
        "S1": "no short-axis series in the zip: export it again",
        "S2": "unexpected KeyError in the image source: look at this file by itself",
        "S3": "image shape (3, 6, 6) in the model image: it must be (3, 6, 5)",
        "S4": "values that are not finite or too large in the model image: check the intensities of this scan",
        "S5": "no file can be opened (No such file or directory) in the image source: check that it exists",
    }
    assert "S1" not in store


def test_a_fault_of_the_file_is_remembered_and_an_unexpected_one_tried_again(tmp_path, images):
    np.save(images["S1"], np.array([1]))
    np.save(images["S2"], np.array([3]))
    write(tmp_path, images)
    assert n_calls(images) == 7
    store = write(tmp_path, images)
    assert n_calls(images) == 8
    assert len(store.problems) == 2
    os.utime(images["S1"], ns=(1, 1))  # touched, as by a repair that the digest does not see
    write(tmp_path, images)
    assert n_calls(images) == 10
    make_newer(images["S1"], image_of(1))
    assert "S1" in write(tmp_path, images)


def test_a_pair_of_files_is_a_source(tmp_path, images):
    pairs = {"S0": Pair(ed=images["S0"], es=images["S1"])}
    store = write_frames(tmp_path / "frames", pairs, read_pair, shape=SHAPE, settings={})
    np.testing.assert_allclose(store.read("S0"), image_of(0) + image_of(1), atol=1e-3)
    make_newer(images["S1"], image_of(9))
    store = write_frames(tmp_path / "frames", pairs, read_pair, shape=SHAPE, settings={})
    np.testing.assert_allclose(store.read("S0"), image_of(0) + image_of(9), atol=1e-3)


def test_no_images_make_an_empty_store(tmp_path):
    store = write(tmp_path, {})
    assert (len(store), store.shape, store.problems) == (0, SHAPE, {})


def test_progress_counts_what_is_read(tmp_path, images):
    seen = []
    write(tmp_path, images, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(number, 7) for number in range(1, 8)]


def test_processes_give_the_same_bytes(tmp_path, images):
    np.save(images["S2"], np.array([3]))
    alone = write(tmp_path, images)
    together = write_frames(tmp_path / "two", images, read_npy, shape=SHAPE, settings={"size": 6}, n_workers=2)
    assert content(together.folder) == content(alone.folder)


def test_a_dead_worker_is_one_clear_line(tmp_path, images):
    np.save(images["S3"], np.array([2]))
    with pytest.raises(ChildProcessError, match="one of 2 worker processes died, most often for want of memory"):
        write(tmp_path, {"S3": images["S3"]}, n_workers=2)


def test_a_store_crosses_a_process_boundary_without_its_pixels(tmp_path, images):
    store = write(tmp_path, images)
    store.read("S0")
    text = pickle.dumps(store)
    assert image_of(0).astype(np.float16).tobytes() not in text
    np.testing.assert_array_equal(pickle.loads(text).read("S0"), store.read("S0"))


def test_a_run_cut_off_keeps_finished_parts_and_ends_as_if_never_cut(tmp_path, images):
    def stop(done, total):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, images, progress=stop)
    with pytest.raises(
        ValueError, match=r"must be complete, however: \d indexes of layouts with \[4\] parts in frames"
    ):
        FrameStore(tmp_path / "frames")
    finished = sum(len(parts.read_part(path).entries) for path in (tmp_path / "frames").glob("*.parquet"))
    assert 0 < finished < 5
    assert len(write(tmp_path, images)) == 7
    assert n_calls(images) == 5 + 7 - finished
    clean = write_frames(tmp_path / "clean", images, read_npy, shape=SHAPE, settings={"size": 6})
    assert content(tmp_path / "frames") == content(clean.folder)


def test_what_killed_runs_and_earlier_versions_left_is_removed(tmp_path, images):
    store = write(tmp_path, images)
    before = content(store.folder)
    for name in (".part-001-of-004-abc.npy", "part-001-of-004-0123456789abcdef.npy", "frames-00000.npy"):
        (store.folder / name).write_bytes(b"half")
    assert content(write(tmp_path, images).folder) == before


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_shards_give_the_same_bytes_however_many_and_in_any_order(tmp_path, images, count):
    np.save(images["S2"], np.array([1]))
    options = {"shape": SHAPE, "settings": {"size": 6}}
    alone = write(tmp_path, images)
    shards = [Shard(number, count) for number in range(count, 0, -1)]
    sizes = [write_shard(tmp_path / "n", images, read_npy, shard, **options) for shard in shards]
    assert sum(sizes) == 7
    calls = n_calls(images)
    together = write_frames(tmp_path / "n", images, read_npy, **options)
    assert n_calls(images) == calls
    assert content(together.folder) == content(alone.folder)


def test_history_leaves_no_trace(tmp_path, images):
    """Added, changed, withdrawn in turn, across layouts: the files are those of a first run, and what stood is kept."""
    few = {key: images[key] for key in ("S0", "S5")}
    assert layout(write(tmp_path, few).folder) == ["part-001-of-001"]
    write(tmp_path, images)
    assert n_calls(images) == 7  # two of them copied from the smaller layout
    make_newer(images["S5"], image_of(55))
    write(tmp_path, images)
    del images["S3"], images["S6"]
    store = write(tmp_path, images)
    assert layout(store.folder) == ["part-001-of-002", "part-002-of-002"]
    calls = n_calls(images)
    first = write_frames(tmp_path / "first", images, read_npy, shape=SHAPE, settings={"size": 6})
    assert content(store.folder) == content(first.folder)
    assert calls == 6
    np.testing.assert_allclose(store.read("S5"), image_of(55), atol=5e-4)


def test_no_byte_of_a_withdrawn_image_stays(tmp_path, images):
    store = write(tmp_path, images)
    pixels = image_of(3).astype(np.float16).tobytes()
    assert any(pixels in data for data in content(store.folder).values())
    del images["S3"]
    everything = b"".join(content(write(tmp_path, images).folder).values())
    assert pixels not in everything
    assert b"S3" not in everything


def test_an_empty_store_takes_the_shape_of_the_last_run(tmp_path):
    write(tmp_path, {})
    assert write_frames(tmp_path / "frames", {}, read_npy, shape=(3, 9, 9), settings={}).shape == (3, 9, 9)


def test_a_damaged_or_lost_file_of_pixels_is_made_again(tmp_path, images):
    store = write(tmp_path, images)
    before = content(store.folder)
    name, _ = store.place("S4")
    n_inside = sum(store.place(f"S{number}")[0] == name for number in range(7))
    (store.folder / name).write_bytes((store.folder / name).read_bytes()[:200])
    with pytest.raises(OSError, match=rf"{name} is gone or damaged \(ValueError\): prepare the cohort again"):
        FrameStore(store.folder).read("S4")
    assert content(write(tmp_path, images).folder) == before
    assert n_calls(images) == 7 + n_inside
    (store.folder / name).unlink()
    assert content(write(tmp_path, images).folder) == before


def test_a_full_disk_is_one_clear_line_and_leaves_no_half_file(tmp_path, images):
    write(tmp_path, {"S0": images["S0"]})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256, limits[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write part-001-of-004-\w+.npy \(File too large\); nothing half-w"):
            write(tmp_path, images)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert layout(tmp_path / "frames") == ["part-001-of-001"]
    np.testing.assert_allclose(FrameStore(tmp_path / "frames").read("S0"), image_of(0), atol=5e-4)


def test_stores_that_cannot_be_opened(tmp_path):
    with pytest.raises(FileNotFoundError, match="prepare the cohort first"):
        FrameStore(tmp_path)
    index = tmp_path / "part-001-of-001.parquet"
    index.write_bytes(b"PAR1 no table")
    with pytest.raises(
        ValueError, match=r"part-001-of-001.parquet is damaged \(ArrowInvalid\): prepare the cohort again"
    ):
        FrameStore(tmp_path)
    pq.write_table(pa.table({"a": [1]}), index)
    with pytest.raises(ValueError, match=r"part-001-of-001.parquet must be of version 2, however: None"):
        FrameStore(tmp_path)


def test_a_damaged_index_is_written_anew(tmp_path, images):
    store = write(tmp_path, images)
    before = content(store.folder)
    (store.folder / "part-002-of-004.parquet").write_bytes(b"PAR1 no table")
    assert content(write(tmp_path, images).folder) == before
