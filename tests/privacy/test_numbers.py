"""Numbers like ids, against a slow reading character by character."""

import random

import pytest

from dymo_med.privacy.numbers import id_positions, is_id_column, is_like_id, looks_like_ids, masked
from tests.privacy.samples import ID, IDS


def slow_positions(text):
    """Split at every character that ends a number, then judge each part by itself."""
    found = []
    for at in range(len(text) - 6):
        part = text[at : at + 7]
        before, after = text[:at], text[at + 7 :]
        if not part.isdigit() or not is_like_id(int(part)) or before[-1:].isalnum() or after[:1].isalnum():
            continue
        if before.endswith(".") and not before[-2:-1].isalpha() and before != ".":
            continue
        if after[:1] == "." and after[1:2].isdigit() and not (after[1] == "0" and not after[2:3].isdigit()):
            continue
        found.append(at)
    return found


def test_positions_equal_a_slow_reading():
    rng = random.Random(5)
    n_found = 0
    for _ in range(20_000):
        parts = rng.choices([ID, str(IDS[3]), "0", ".0", ".", "5", "a", " ", "_", "-", ",", "/", "\n"], k=6)
        text = "".join(parts)
        found = list(id_positions(text.encode()))
        assert found == slow_positions(text), text
        n_found += len(found)
    assert n_found > 2000


@pytest.mark.parametrize(
    ("number", "is_like"),
    [(999_999, False), (1_000_001, True), (6_999_999, True), (7_000_001, False), (1_230_000, False), (1 << 20, False)],
)
def test_range_of_the_registry(number, is_like):
    assert is_like_id(number) is is_like


def test_columns_of_ids_are_many_and_distinct():
    assert looks_like_ids(IDS)
    assert looks_like_ids([*map(float, IDS * 2), *[4_100_000.0 + at for at in range(1, 20)]])
    assert not looks_like_ids(IDS[:4])
    assert not looks_like_ids([number + 0.5 for number in IDS])
    assert not looks_like_ids([*IDS, 1, 2, 3])
    assert not looks_like_ids([])


@pytest.mark.parametrize(
    "title", ["eid", "EID", "f.eid", "n_eid", "xeid", "participant.eid", "eid_old", "Participant ID"]
)
def test_titles_of_ids(title):
    assert is_id_column(title)
    assert is_id_column(f'"{title}" ')


@pytest.mark.parametrize("title", ["subject_id", "weid", "eidos study", "id", "31-0.0", "protein"])
def test_other_titles(title):
    assert not is_id_column(title)


def test_seven_digits_are_masked_and_others_stay():
    assert masked(f"{ID}_2 sub-{ID} 1{ID} 123456") == f"#######_2 sub-####### 1{ID} 123456"
