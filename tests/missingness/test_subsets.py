"""Subsets of modalities: order, codes, draws."""

import itertools

import pytest
import torch

from dymo_med.missingness.subsets import enumerate_subsets, sample_subsets, subset_codes, subset_names


@pytest.mark.parametrize("n_modalities", [1, 2, 3, 5])
def test_order_is_by_size_then_lexicographic(n_modalities):
    found = [tuple(row.nonzero().flatten().tolist()) for row in enumerate_subsets(n_modalities)]
    expected = [s for size in range(1, n_modalities + 1) for s in itertools.combinations(range(n_modalities), size)]
    assert found == expected


@pytest.mark.parametrize("n_modalities", [1, 2, 4])
def test_codes_invert_the_order(n_modalities):
    members = enumerate_subsets(n_modalities)
    assert subset_codes(members).tolist() == list(range(2**n_modalities - 1))
    assert subset_codes(torch.zeros(3, n_modalities, dtype=torch.bool)).tolist() == [-1, -1, -1]


def test_draws_are_different_repeatable_and_even():
    counts = torch.zeros(7)
    generator = torch.Generator().manual_seed(0)
    for _ in range(700):
        codes = subset_codes(sample_subsets(3, 3, generator))
        assert len(set(codes.tolist())) == 3
        counts[codes] += 1
    assert counts.min() > 240  # 300 expected, standard deviation 13
    first, again = (sample_subsets(3, 3, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, again)


def test_names():
    assert subset_names(("a", "b", "c"))[3:] == ["a+b", "a+c", "b+c", "a+b+c"]


def test_refusals():
    with pytest.raises(ValueError, match="n_modalities must be at most 16, however: n_modalities=17"):
        enumerate_subsets(17)
    with pytest.raises(ValueError, match=r"n_subsets must be at most 3, .* of 2 modalities, however: n_subsets=4"):
        sample_subsets(2, 4)
    with pytest.raises(ValueError, match="n_subsets must be a positive integer"):
        sample_subsets(2, 0)
