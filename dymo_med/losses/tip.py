"""The three pre-training losses of TIP (METHOD section 6)."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from dymo_med.utils import check_positive, mean_over_processes, n_processes, process_rank, sum_over_processes

__all__ = ["TIPLoss"]


class TIPLoss(nn.Module):
    """Mean of image-table contrast (ITC), image-table matching (ITM) and masked table reconstruction (MTR).

    Processes that train together contrast all of their samples and divide by what all of them scored, so that these
    losses are those of one process with the whole batch. They need batches of one size.

    Args:
        cat_cardinalities: Number of categories of each categorical column; these columns come first.
        temperature: Temperature of the contrast; 0.1 as published.

    Shape:
        - ``prediction``: the tensors that :class:`~dymo_med.networks.nets.TIP` gives in pre-training, with ``table``
          (B, F), the true values, and ``scored`` (B, F), True = the cell was observed and hidden; output: scalar

    Example:
        >>> loss = TIPLoss([2])
        >>> z = torch.nn.functional.normalize(torch.eye(2), dim=-1)
        >>> float(loss.contrast(z, z)) < 1e-4
        True
    """

    offsets: torch.Tensor

    def __init__(self, cat_cardinalities: Sequence[int], temperature: float = 0.1) -> None:
        super().__init__()
        check_positive("temperature", temperature)
        self.n_categorical = len(cat_cardinalities)
        self.temperature = temperature
        offsets = torch.tensor([0, *cat_cardinalities], dtype=torch.int64).cumsum(0)[: self.n_categorical]
        self.register_buffer("offsets", offsets)

    def forward(self, prediction: Mapping[str, torch.Tensor], label: torch.Tensor | None = None) -> torch.Tensor:
        """Average the three losses; ``label`` is accepted for the engine's sake and not used."""
        del label
        return torch.stack(list(self.terms(prediction).values())).mean()

    def terms(self, prediction: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Give the losses ``itc``, ``itm`` and ``mtr`` one by one."""
        return {
            "itc": self.contrast(prediction["image_projection"], prediction["table_projection"]),
            "itm": self.matching(prediction["match_logits"]),
            "mtr": self.reconstruction(
                prediction["cat_logits"], prediction["num_values"], prediction["table"], prediction["scored"]
            ),
        }

    def contrast(self, image: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        """CLIP loss of L2-normalised features (B, D), both directions at one half."""
        image, table = _of_all_processes(image), _of_all_processes(table)
        scores = image @ table.T / self.temperature
        pair = torch.arange(len(image), device=image.device)
        return (F.cross_entropy(scores, pair) + F.cross_entropy(scores.T, pair)) / 2

    def matching(self, logits: torch.Tensor) -> torch.Tensor:
        """Binary cross-entropy of logits (3 B, 2): the first third are true pairs."""
        target = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
        target[: len(logits) // 3] = 1
        return F.cross_entropy(logits, target)

    def reconstruction(
        self, cat_logits: torch.Tensor, num_values: torch.Tensor, table: torch.Tensor, scored: torch.Tensor
    ) -> torch.Tensor:
        """Half the cross-entropy over all categories plus half the squared error, each a mean over scored cells."""
        cat_scored, num_scored = scored[:, : self.n_categorical], scored[:, self.n_categorical :]
        target = torch.where(cat_scored, table[:, : self.n_categorical], 0.0).long() + self.offsets
        categorical = F.cross_entropy(cat_logits[cat_scored], target[cat_scored], reduction="sum")
        squared = F.mse_loss(num_values[num_scored], table[:, self.n_categorical :][num_scored], reduction="sum")
        # no scored cell of a kind in a batch is no error of that kind
        return (mean_over_processes(categorical, cat_scored.sum()) + mean_over_processes(squared, num_scored.sum())) / 2


def _of_all_processes(features: torch.Tensor) -> torch.Tensor:
    """Give the features (B, D) of all processes one after another; gradients flow back to each."""
    if n_processes() == 1:
        return features
    parts = [torch.zeros_like(features)] * n_processes()
    parts[process_rank()] = features
    return sum_over_processes(torch.cat(parts))
