"""Who reads what: every image has one shard, and a change of a file shows in its shard alone."""

import os

import pytest

from dymo_med.data.frames import Shard, index_shards
from dymo_med.data.frames.parts import MAX_IMAGES, Part, n_parts_of, part_number


@pytest.fixture
def images(tmp_path):
    paths = {f"S{number:04d}": tmp_path / f"{number}.zip" for number in range(40)}
    for path in paths.values():
        path.write_bytes(b"scan")
    return paths


@pytest.mark.parametrize("n_images", [0, 1, MAX_IMAGES, MAX_IMAGES + 1, 5000, 100_000])
@pytest.mark.parametrize("count", [1, 3, 20, 400])
def test_shards_divide_the_parts(n_images, count):
    parts = [part for number in range(1, count + 1) for part in Shard(number, count).parts(n_images)]
    n_parts = n_parts_of(n_images)
    assert sorted(part.number for part in parts) == list(range(1, n_parts + 1))
    assert {part.count for part in parts} == {n_parts}
    assert n_images / n_parts <= MAX_IMAGES


def test_parts_are_even_and_nest():
    numbers = [part_number(f"S{number:016x}", 16) for number in range(8000)]
    counts = [numbers.count(number) for number in range(1, 17)]
    assert min(counts) > 400
    assert max(counts) < 600
    for number in range(200):
        subject = f"S{number}"
        assert (part_number(subject, 16) - part_number(subject, 4)) % 4 == 0


@pytest.mark.parametrize(("number", "count"), [(0, 3), (4, 3), (1, 0)])
def test_shards_that_do_not_exist(number, count):
    with pytest.raises(ValueError, match=f"from 1 to the number of shards, however: {number} of {count}: number them"):
        Shard(number, count)


def test_other_files_are_no_part(tmp_path):
    assert Part.of_index(tmp_path / "part-003-of-008.parquet") == Part(3, 8)
    assert Part.of_index(tmp_path / "part-003-of-008-0123456789abcdef.npy") is None


def test_a_change_shows_in_its_shard_alone(images, monkeypatch):
    monkeypatch.setattr("dymo_med.data.frames.parts.MAX_IMAGES", 4)
    before = index_shards(images, 5)
    assert sum(shard["n_images"] for shard in before) == 40
    assert index_shards(dict(reversed(images.items())), 5) == before
    os.utime(images["S0007"], ns=(1, 1))
    after = index_shards(images, 5)
    changed = [number for number in range(5) if before[number] != after[number]]
    assert [number + 1 for number in changed] == [(part_number("S0007", n_parts_of(40)) - 1) % 5 + 1]
    images["S0007"].unlink()
    assert index_shards(images, 5)[changed[0]] not in (before[changed[0]], after[changed[0]])


def test_the_list_of_a_shard_tells_no_name(images):
    text = str(index_shards(images, 2))
    assert "S00" not in text
    assert ".zip" not in text
