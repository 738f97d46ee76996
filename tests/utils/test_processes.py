"""Sums and means over processes, with their gradients, and the division of a batch."""

import numpy as np
import pytest
import torch

from dymo_med.utils import (
    derived_seed,
    mean_over_processes,
    n_processes,
    process_rank,
    share_of_batch,
    sum_over_processes,
)
from tests.processes import in_processes


def test_without_a_group_there_is_one_process():
    assert (n_processes(), process_rank(), share_of_batch(7)) == (1, 0, 7)
    tensor = torch.ones(2)
    assert sum_over_processes(tensor) is tensor
    total = torch.tensor(6.0, requires_grad=True)
    mean_over_processes(total, torch.tensor(4.0)).backward()
    assert float(total.grad) == 0.25


def test_mean_of_nothing_is_zero_and_moves_nothing():
    weight = torch.tensor(3.0, requires_grad=True)
    mean = mean_over_processes((weight * torch.zeros(0)).sum(), torch.tensor(0.0))
    mean.backward()
    assert (mean.item(), weight.grad.item()) == (0.0, 0.0)


def test_processes_know_themselves_and_divide_a_batch(tmp_path):
    def about(rank):
        assert (n_processes(), process_rank(), share_of_batch(8)) == (2, rank, 4)
        return [str(_refused(batch_size)) for batch_size in (7, 0)]

    for first, second in in_processes(about, tmp_path / "store"):
        text = "batch_size must be a multiple of the number of processes, however: batch_size={} and 2 processes; "
        assert first == text.format(7) + "change --nproc_per_node or batch_size"
        assert second.startswith(text.format(0))


def _refused(batch_size):
    with pytest.raises(ValueError, match="batch_size must be a multiple") as caught:
        share_of_batch(batch_size)
    return caught.value


def test_sum_has_the_gradient_of_a_sum(tmp_path):
    """y = sum over processes of x_r; every process then has the loss (r + 1) * y^2."""
    start = [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 5.0])]

    def squared(rank):
        x = start[rank].clone().requires_grad_()
        total = sum_over_processes(x)
        ((rank + 1) * total.square()).sum().backward()
        return total, x.grad, x

    total = sum(start)
    for rank, (found, grad, x) in enumerate(in_processes(squared, tmp_path / "store")):
        np.testing.assert_array_equal(found, total)
        np.testing.assert_allclose(grad, (1 + 2) * 2 * total)
        np.testing.assert_array_equal(x, start[rank])  # what was passed stays as it was


@pytest.mark.parametrize("counts", [(3, 3), (5, 1), (4, 0)])
def test_mean_is_that_of_all_samples(tmp_path, counts):
    """Parallel training averages the gradients of the processes: the average must be that of one process."""
    values = [torch.arange(1.0, 1 + n) for n in counts]

    def mean(rank):
        weight = torch.tensor(2.0, requires_grad=True)
        loss = mean_over_processes((weight * values[rank]).square().sum(), torch.tensor(float(counts[rank])))
        loss.backward()
        return loss, weight.grad

    one = torch.tensor(2.0, requires_grad=True)
    expected = (one * torch.cat(values)).square().mean()
    expected.backward()
    found = in_processes(mean, tmp_path / "store")
    assert [float(loss) for loss, _ in found] == [pytest.approx(expected.item())] * 2
    assert np.mean([grad for _, grad in found]) == pytest.approx(float(one.grad))


def test_derived_seeds_differ_with_every_number():
    seeds = [derived_seed(*numbers) for numbers in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0))]
    assert derived_seed(0, 1, 0) == seeds[2]
    assert len({*seeds, derived_seed(0, 0, 0, 1)}) == 6
    assert all(0 <= seed < 2**32 for seed in seeds)
