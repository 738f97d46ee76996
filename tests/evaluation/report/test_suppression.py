"""Small counts are hidden, and cannot be worked out from what is shown."""

import numpy as np
import pytest

from dymo_med.evaluation.report.groups import Groups
from dymo_med.evaluation.report.suppression import count_text, suppress


def worked_out(counts, hidden, lines):
    """What a reader with a pencil finds: the one unknown of a line, again and again; signs do not matter."""
    known = ~hidden
    found = True
    while found:
        found = False
        for line in lines:
            unknown = [place for place in line if not known[place]]
            if len(unknown) == 1:
                known[unknown[0]] = found = True
    return known


@pytest.mark.parametrize("seed", range(30))
def test_no_hidden_count_can_be_worked_out(seed):
    rng = np.random.default_rng(seed)
    inner = rng.poisson(rng.choice([0.5, 4, 30], (4, 3)))
    table = np.zeros((5, 4), dtype=np.int64)
    table[:4, :3], table[:4, 3], table[4, :3], table[4, 3] = inner, inner.sum(1), inner.sum(0), inner.sum()
    place = np.arange(20).reshape(5, 4)
    lines = [*place, *place.T]
    hidden = suppress(table.ravel(), lines, 10)
    assert hidden[(table.ravel() > 0) & (table.ravel() < 10)].all()
    np.testing.assert_array_equal(worked_out(table.ravel(), hidden.copy(), lines), ~hidden)


def test_secondary_choice_is_the_smallest_and_spares_the_last():
    counts = np.array([3, 40, 57, 100])
    assert suppress(counts, [(0, 1, 2, 3)], 10).tolist() == [True, True, False, False]
    assert suppress(counts, [(0, 1, 2, 3)], 10, last=(1,)).tolist() == [True, False, True, False]
    assert suppress(np.array([3, 0, 3]), [(0, 1, 2)], 10).tolist() == [True, False, True]
    assert suppress(np.array([3, 0, 0]), [(0, 1, 2)], 10).tolist() == [True, True, False]
    assert not suppress(counts, [(0, 1, 2, 3)], 1).any()
    with pytest.raises(ValueError, match="min_count must be a positive integer, however: min_count=0"):
        suppress(counts, [], 0)


def test_text_of_a_count():
    assert count_text(1234, 10, is_hidden=False) == "1,234"
    assert count_text(0, 10, is_hidden=False, total=50) == "0 (0.0 %)"
    assert count_text(9, 10, is_hidden=True) == "<10"
    assert count_text(0, 10, is_hidden=True) == count_text(10, 10, is_hidden=True) == "withheld"


def split_of(*sizes):
    edges = np.cumsum([0, *sizes])
    return {
        f"g{at}": np.arange(edges[-1]).__ge__(edges[at]) & (np.arange(edges[-1]) < edges[at + 1])
        for at in range(len(sizes))
    }


def test_groups_count_everybody_once():
    groups = Groups({"split": split_of(20, 30)}, n_subjects=50, min_count=10)
    assert (groups.titles, groups.sizes.tolist(), groups.withheld.any()) == (["all", "g0", "g1"], [50, 20, 30], False)
    levels = np.arange(50) % 3
    np.testing.assert_array_equal(groups.counts(levels, 4)[:, 0], [17, 17, 16, 0])
    with pytest.raises(ValueError, match=r"must hold everybody once, however: 'split' with \{'a': 50, 'b': 20\} of 50"):
        Groups({"split": {"a": np.ones(50, bool), "b": split_of(20, 30)["g0"]}}, n_subjects=50, min_count=10)


def test_a_small_group_and_its_complement_are_withheld():
    groups = Groups({"split": split_of(40, 5, 30)}, n_subjects=75, min_count=10)
    assert groups.withheld.tolist() == [False, False, True, True]
    hidden = groups.hidden(groups.counts(np.zeros(75, dtype=np.int64), 2))
    assert hidden[:, [2, 3]].all()
    assert not hidden[:, [0, 1]].any()


@pytest.mark.parametrize("seed", range(10))
def test_counts_of_a_variable_cannot_be_worked_out_across_partitions(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.choice(3, 120, p=[0.7, 0.2, 0.1]), rng.choice(2, 120, p=[0.8, 0.2])
    partitions = {
        "split": {f"s{at}": first == at for at in range(3)},
        "label": {f"l{at}": second == at for at in range(2)},
    }
    groups = Groups(partitions, n_subjects=120, min_count=10)
    counts = groups.counts(rng.choice(4, 120, p=[0.6, 0.25, 0.1, 0.05]), 4)
    hidden = groups.hidden(counts)
    place = np.arange(counts.size).reshape(counts.shape)
    lines = [row[[0, 1, 2, 3]] for row in place] + [row[[0, 4, 5]] for row in place]
    lines += [place[:, column] for column in range(6) if not groups.withheld[column]]
    known = worked_out(counts.ravel(), hidden.ravel().copy(), lines)
    np.testing.assert_array_equal(known, ~hidden.ravel())
    assert hidden[(counts > 0) & (counts < 10)].all()
