"""Inferer that trains a multimodal variational autoencoder."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.inferers import Inferer

from dymo_med.missingness.subsets import enumerate_subsets
from dymo_med.utils import derived_seed, n_processes, process_rank

__all__ = ["MoPoEInferer"]


class MoPoEInferer(Inferer):
    """Runs a :class:`~dymo_med.networks.nets.MoPoE` for its loss, with draws of its own.

    Within a batch every subset of modalities gives the latent vectors of as many samples as any other, up to one.

    Args:
        modalities: Names in the order of the network; the first is the engine's first input.
        latent_dim: Size of the latent vector, that of the network.
        seed: Seed of the draws.

    Raises:
        ValueError: there is no modality.

    Example:
        >>> inferer = MoPoEInferer(["m0", "m1"], latent_dim=4)
        >>> sorted(inferer.draw_components(6).tolist())
        [0, 0, 1, 1, 2, 2]
    """

    def __init__(self, modalities: Sequence[str], latent_dim: int, seed: int = 0) -> None:
        super().__init__()
        self.modalities = list(modalities)
        self.latent_dim = latent_dim
        self.n_subsets = len(enumerate_subsets(len(self.modalities)))
        self.seed = seed
        self.generator = torch.Generator().manual_seed(seed)

    def set_epoch(self, epoch: int) -> None:
        """Let the draws that follow depend on seed and epoch alone."""
        self.generator.manual_seed(derived_seed(self.seed, epoch))

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: torch.Tensor
    ) -> dict[str, Any]:
        """Run the network.

        Args:
            inputs: First modality, (B, ...).
            network: A :class:`~dymo_med.networks.nets.MoPoE`, bare or wrapped for parallel training.
            args: None expected.
            kwargs: The other modalities and all masks ``<modality>_missing``, by name.

        Returns:
            What :class:`~dymo_med.losses.MoPoELoss` compares.
        """
        contents = {self.modalities[0]: inputs, **{name: kwargs[name] for name in self.modalities[1:]}}
        missing = {name: kwargs[f"{name}_missing"] for name in self.modalities}
        n_all, own = len(inputs) * n_processes(), slice(process_rank(), None, n_processes())
        noise = torch.randn(n_all, self.latent_dim, generator=self.generator)[own].to(inputs)
        component = self.draw_components(n_all)[own].to(inputs.device)
        output = network(contents, missing, *args, component=component, noise=noise)
        return {
            "reconstructions": output.reconstructions,
            "targets": contents,
            "missing": missing,
            "mean": output.posteriors.mean,
            "log_variance": output.posteriors.log_variance,
            "exists": output.posteriors.exists,
        }

    def draw_components(self, n_samples: int) -> torch.Tensor:
        """Draw the subset of each sample, int64 (B,), all subsets equally often up to one."""
        return torch.randperm(n_samples, generator=self.generator) % self.n_subsets
