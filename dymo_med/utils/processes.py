"""Processes that train together: sums and means over all of them; without a process group, over the one there is."""

from typing import Any, cast

import torch
import torch.distributed as dist

__all__ = ["mean_over_processes", "n_processes", "process_rank", "share_of_batch", "sum_over_processes"]


def n_processes() -> int:
    """Give the number of processes of the default group; 1 without a group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_rank() -> int:
    """Give the number of this process in the default group; 0 without a group."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def share_of_batch(batch_size: int) -> int:
    """Give the samples that one process takes of a batch, so that a step means the same for any number of processes.

    Args:
        batch_size: Samples of a step over all processes.

    Raises:
        ValueError: the batch cannot be divided evenly.

    Example:
        >>> share_of_batch(128)  # without a process group
        128
    """
    share, rest = divmod(batch_size, n_processes())
    if rest or not share:
        raise ValueError(
            f"batch_size must be a multiple of the number of processes, however: batch_size={batch_size} and "
            f"{n_processes()} processes; change --nproc_per_node or batch_size"
        )
    return share


def sum_over_processes(tensor: torch.Tensor) -> torch.Tensor:
    """Add up a tensor over all processes; gradients flow back to the part of each.

    Args:
        tensor: Floating point, of the same shape in every process.

    Returns:
        The sum, equal in all processes.

    Example:
        >>> sum_over_processes(torch.tensor([1.0, 2.0]))
        tensor([1., 2.])
    """
    return tensor if n_processes() == 1 else cast(torch.Tensor, _Sum.apply(tensor))  # type: ignore[no-untyped-call]


def mean_over_processes(total: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Divide the sum of a loss by its weight, both taken over all processes.

    Parallel training averages the gradients of the processes. Their own means would be averaged to another loss
    wherever the numbers of samples that count differ; what this gives is averaged to the gradient of the one mean.

    Args:
        total: Sum of the losses of this process, scalar.
        weight: Number or weight of what was summed, scalar; without any in all processes, the mean is 0.

    Returns:
        The mean over all processes, scalar.

    Example:
        >>> mean_over_processes(torch.tensor(3.0), torch.tensor(2.0))
        tensor(1.5000)
    """
    if n_processes() == 1:
        return total / torch.where(weight > 0, weight, 1)
    everything, count = sum_over_processes(torch.stack([total.detach(), weight.detach().to(total)])).unbind()
    count = torch.where(count > 0, count, 1)
    own = total * (n_processes() / count)
    return own + (everything / count - own).detach()  # the value of all, the gradient of this process


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor) -> torch.Tensor:  # noqa: ARG004 - nothing is kept
        """Sum over processes."""
        return _summed(tensor)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
        """Sum the gradients over processes."""
        return _summed(grads[0])


def _summed(tensor: torch.Tensor) -> torch.Tensor:
    total = tensor.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total
