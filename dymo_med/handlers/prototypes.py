"""Prototypes of training and class statistics of selection, as handlers."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.utils import CommonKeys

from dymo_med.losses import PrototypeLoss
from dymo_med.networks import with_weights
from dymo_med.networks.nets import MultimodalTransformer
from dymo_med.selection import Fused
from dymo_med.utils import save_weights

__all__ = ["ClassStatisticsFitter", "PrototypeUpdater"]


class PrototypeUpdater:
    """Keeps the prototypes of the auxiliary loss: fixed within an epoch, renewed at its end (METHOD section 3).

    At the end of an epoch the prototype of class k becomes the mean of all features of class k seen in that epoch, over
    all drawn subsets and all processes; a class that was not seen keeps its own.

    Args:
        network: Network that holds the buffer, not wrapped for parallel training.
        loss: Loss that uses the prototypes.
        start_epoch: First epoch (0-based) in which the auxiliary loss counts; 3 as published.
    """

    def __init__(self, network: MultimodalTransformer, loss: PrototypeLoss, start_epoch: int = 3) -> None:
        self.network = network
        self.loss = loss
        self.start_epoch = start_epoch

    def attach(self, engine: Engine) -> None:
        """Register with a trainer whose inferer is a :class:`~dymo_med.inferers.SubsetInferer`."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._renew)

    def _begin(self, engine: Engine) -> None:
        buffer = self.network.prototypes
        self.loss.prototypes = buffer if engine.state.epoch > self.start_epoch else None
        self._total = torch.zeros_like(buffer, dtype=torch.float64)
        self._count = torch.zeros(len(buffer), dtype=torch.float64, device=buffer.device)

    def _collect(self, engine: Engine) -> None:
        output = cast(dict[str, Any], engine.state.output)
        fused: Fused = output[CommonKeys.PRED]
        embedding = fused.embedding.detach().double()  # (A, B, D)
        present = ~embedding.isnan().any(-1)
        label = output[CommonKeys.LABEL].expand(present.shape)[present]
        self._total.index_add_(0, label, embedding[present])
        self._count.index_add_(0, label, torch.ones_like(label, dtype=torch.float64))

    def _renew(self, _: Engine) -> None:
        total, count = _reduced(self._total), _reduced(self._count)
        seen = (count > 0).unsqueeze(1)
        mean = total / count.clamp_min(1).unsqueeze(1)
        self.network.prototypes.copy_(torch.where(seen, mean, self.network.prototypes))


class ClassStatisticsFitter:
    """Fits the class statistics once training has ended and writes the finished weights (METHOD section 4).

    The best checkpoint is loaded; one pass over the training set, without augmentation, encodes every sample once and
    fuses every subset. A sample counts for a subset when a part of it was observed.

    Args:
        network: Network that holds the statistics, not wrapped for parallel training.
        data_loader: Training samples without augmentation.
        prepare_batch: Splits a batch as the trainer's own does.
        device: Device to compute on.
        best: Weights of the best epoch.
        output: File to write: the same weights with prototypes and statistics.
    """

    def __init__(
        self,
        network: MultimodalTransformer,
        data_loader: Iterable[Any],
        prepare_batch: Callable[..., Any],
        device: torch.device,
        best: str | Path,
        output: str | Path,
    ) -> None:
        self.network = network
        self.data_loader = data_loader
        self.prepare_batch = prepare_batch
        self.device = device
        self.best = Path(best)
        self.output = Path(output)

    def attach(self, engine: Engine) -> None:
        """Register with a trainer, after its checkpoint saver."""
        engine.add_event_handler(Events.COMPLETED, self)

    @torch.no_grad()
    def __call__(self, _: Engine) -> None:
        """Fit and write."""
        idist.barrier()  # the first process may still be writing the best weights
        network = with_weights(self.network, self.best).eval()
        moments = network.statistics.new_moments()
        for batch in self.data_loader:
            inputs, label, args, kwargs = self.prepare_batch(batch, self.device, False)
            fused: Fused = network(inputs, *args, subsets=network.subsets, **kwargs)
            for subset, embedding in enumerate(fused.embedding):
                present = ~embedding.isnan().any(-1)
                moments.update(subset, embedding[present], label[present])
        for total in moments.tensors():
            total.copy_(_reduced(total))
        network.statistics.fit(moments)
        if idist.get_rank() == 0:
            save_weights(self.output, network.state_dict())


def _reduced(tensor: torch.Tensor) -> torch.Tensor:
    """Sum over processes."""
    return cast(torch.Tensor, idist.all_reduce(tensor))
