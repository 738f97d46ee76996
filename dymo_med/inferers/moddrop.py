"""Inferer of training by modality dropout."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.inferers import Inferer

from dymo_med.selection import Fused
from dymo_med.utils import check_fraction, derived_seed, n_processes, process_rank

__all__ = ["ModDropInferer"]


class ModDropInferer(Inferer):
    """Classifies a batch once, every sample with modalities dropped at random, each on its own (ModDrop).

    Args:
        modalities: Names in the order of the network; the first is the engine's first input.
        prob: Probability that a modality is dropped; 0.5 as published. Where all that a sample has would go, one of
            them, drawn at random, stays.
        seed: Seed of the draws.

    Raises:
        ValueError: ``prob`` is no fraction.

    Source: BASELINES section 2.1, on this project's backbone, which hides absent tokens from attention.

    Example:
        >>> inferer = ModDropInferer(["a", "b"], prob=1.0)
        >>> inferer.draw(torch.zeros(3, 2, dtype=torch.bool)).sum(1).tolist()
        [1, 1, 1]
    """

    def __init__(self, modalities: Sequence[str], prob: float = 0.5, seed: int = 0) -> None:
        super().__init__()
        check_fraction("prob", prob)
        self.modalities = list(modalities)
        self.prob = prob
        self.seed = seed
        self.generator = torch.Generator().manual_seed(seed)

    def set_epoch(self, epoch: int) -> None:
        """Let the draws that follow depend on seed and epoch alone."""
        self.generator.manual_seed(derived_seed(self.seed, epoch))

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: torch.Tensor) -> Fused:
        """Run the network.

        Args:
            inputs: First modality, (B, ...).
            network: A :class:`~dymo_med.networks.nets.MultimodalTransformer`, bare or wrapped for parallel training.
            args: None expected.
            kwargs: The other modalities and all masks ``<modality>_missing``, by name.

        Returns:
            Logits (1, B, K) and embedding (1, B, D).
        """
        names = [f"{name}_missing" for name in self.modalities]
        absent = torch.stack([kwargs[name].reshape(len(inputs), -1).all(1) for name in names], dim=1)
        dropped = self.draw(absent.cpu()).to(inputs.device)
        masks = {name: _either(kwargs[name], dropped[:, index]) for index, name in enumerate(names)}
        everything = torch.ones(1, len(names), dtype=torch.bool)
        fused: Fused = network(inputs, *args, subsets=everything, **{**kwargs, **masks})
        return fused

    def draw(self, absent: torch.Tensor) -> torch.Tensor:
        """Draw what is dropped.

        Args:
            absent: Boolean (B, M), True = the sample lacks the modality.

        Returns:
            Boolean (B, M), True = dropped; never all that a sample has.
        """
        n_samples, n_modalities = absent.shape
        shape = (n_samples * n_processes(), 2 * n_modalities)
        draws = torch.rand(shape, generator=self.generator)[process_rank() :: n_processes()]
        dropped = draws[:, :n_modalities] < self.prob
        order = draws[:, n_modalities:].masked_fill(absent, -1.0)
        kept = torch.nn.functional.one_hot(order.argmax(1), n_modalities).bool()
        nothing_left = (dropped | absent).all(1, keepdim=True)
        return dropped & ~(kept & nothing_left)


def _either(missing: torch.Tensor, dropped: torch.Tensor) -> torch.Tensor:
    return missing | dropped.reshape(-1, *(1,) * (missing.ndim - 1))
