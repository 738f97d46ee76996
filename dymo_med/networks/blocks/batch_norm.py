"""BatchNorm over the batches of all processes, on processors for which torch has none."""

import torch
from torch import nn

from dymo_med.utils import n_processes, sum_over_processes

__all__ = ["SynchronizedBatchNorm2d"]


class SynchronizedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm whose mean and variance in training are those over all processes.

    ``torch.nn.SyncBatchNorm`` does this on GPUs and refuses a CPU. A process without a single sample takes part all the
    same. In evaluation, or without a process group, this is ``torch.nn.BatchNorm2d``.

    Args:
        source: BatchNorm whose parameters and buffers this one takes over, not copies.

    Shape:
        - ``x``: (B, C, X, Y), B may differ between processes; output: the same

    Example:
        >>> norm = nn.BatchNorm2d(2)
        >>> synchronized = SynchronizedBatchNorm2d(norm)
        >>> synchronized.weight is norm.weight, bool(synchronized(torch.ones(2, 2, 1, 1)).abs().max() < 1e-6)
        (True, True)
    """

    def __init__(self, source: nn.BatchNorm2d) -> None:
        super().__init__(source.num_features, source.eps, source.momentum, source.affine, source.track_running_stats)
        self._parameters.update(source._parameters)
        self._buffers.update(source._buffers)
        self.train(source.training)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise."""
        if not self.training or n_processes() == 1:
            return super().forward(x)
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        own = torch.cat([values.sum((0, 2, 3)), values.new_tensor([values.numel() / self.num_features])])
        total = sum_over_processes(own)
        count = total[-1].detach()
        centered = values - (total[:-1] / count).view(1, -1, 1, 1)
        variance = sum_over_processes(centered.square().sum((0, 2, 3))) / count
        self._track((total[:-1] / count).detach(), variance.detach(), count)
        scale = (variance + self.eps).rsqrt() * self.weight
        return (centered * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(x.dtype)

    @torch.no_grad()
    def _track(self, mean: torch.Tensor, variance: torch.Tensor, count: torch.Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), momentum)
        self.running_var.lerp_((variance * count / (count - 1)).to(self.running_var), momentum)
