"""Class statistics of the metric space, for every subset of modalities (METHOD section 4)."""

import math
from collections.abc import Sequence

import torch

from dymo_med.missingness.subsets import enumerate_subsets
from dymo_med.utils import Metric, check_positive_int

__all__ = ["ClassMoments", "ClassStatistics"]


class ClassMoments:
    """Sums over training features from which class statistics follow in one pass, at constant memory.

    Sums are kept in float64 and can be added over batches and over processes before :meth:`ClassStatistics.fit`.

    Args:
        n_modalities: Number of modalities M; there are S = 2^M - 1 subsets.
        n_classes: Number of classes K.
        embedding_dim: Size D of the metric space.
        metric: Distance; the cosine one needs second moments of shape (S, K, D, D).
    """

    def __init__(self, n_modalities: int, n_classes: int, embedding_dim: int, metric: Metric) -> None:
        n_subsets = len(enumerate_subsets(n_modalities))
        self.metric = metric
        self.count = torch.zeros(n_subsets, n_classes, dtype=torch.float64)
        self.total = torch.zeros(n_subsets, n_classes, embedding_dim, dtype=torch.float64)
        spread = (embedding_dim, embedding_dim) if metric is Metric.COSINE else ()
        self.second = torch.zeros(n_subsets, n_classes, *spread, dtype=torch.float64)

    def update(self, subset: int, embedding: torch.Tensor, label: torch.Tensor) -> None:
        """Add features of one subset.

        Args:
            subset: Code of the subset.
            embedding: Features, shape (B, D).
            label: Classes, int64, shape (B,).
        """
        z, label = embedding.detach().double().cpu(), label.cpu()
        self.count[subset].index_add_(0, label, torch.ones(len(label), dtype=torch.float64))
        self.total[subset].index_add_(0, label, z)
        second = z.unsqueeze(2) * z.unsqueeze(1) if self.metric is Metric.COSINE else z.square().sum(-1)
        self.second[subset].index_add_(0, label, second)

    def tensors(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Give the sums themselves (count, total, second), to be added over processes in place."""
        return self.count, self.total, self.second


class ClassStatistics(torch.nn.Module):
    """Prototypes and widths of every class in every subset, as buffers: they travel with the network's weights.

    Args:
        n_modalities: Number of modalities M.
        n_classes: Number of classes K.
        embedding_dim: Size D of the metric space.
        metric: ``cosine`` or ``squared_euclidean``.

    Shape:
        - ``prototypes``: (S, K, D), mean feature of class k when subset s is fused
        - ``std``: (S, K), root mean square distance to that prototype (``1 - z.c`` or ``||z - c||``)
        - ``overall``: (K, D), mean of the prototypes over subsets
        - ``prevalence``: (K,), share of each class among the training subjects; nan = unknown
        - ``learned_prevalence``: (K,), the same as the loss met it, after class weights or a balanced subset: that to
          which predicted probabilities refer; nan = unknown

    Example:
        >>> statistics = ClassStatistics(2, 3, 4, Metric.COSINE)
        >>> statistics.prototypes.shape, bool(statistics.is_fitted)
        (torch.Size([3, 3, 4]), False)
    """

    prototypes: torch.Tensor
    std: torch.Tensor
    overall: torch.Tensor
    prevalence: torch.Tensor
    learned_prevalence: torch.Tensor
    is_fitted: torch.Tensor

    def __init__(self, n_modalities: int, n_classes: int, embedding_dim: int, metric: Metric) -> None:
        super().__init__()
        check_positive_int("n_classes", n_classes)
        check_positive_int("embedding_dim", embedding_dim)
        n_subsets = len(enumerate_subsets(n_modalities))
        self.n_modalities = n_modalities
        self.metric = metric
        self.register_buffer("prototypes", torch.zeros(n_subsets, n_classes, embedding_dim))
        self.register_buffer("std", torch.zeros(n_subsets, n_classes))
        self.register_buffer("overall", torch.zeros(n_classes, embedding_dim))
        for name in ("prevalence", "learned_prevalence"):
            self.register_buffer(name, torch.full((n_classes,), torch.nan))
        self.register_buffer("is_fitted", torch.zeros((), dtype=torch.bool))

    def new_moments(self) -> ClassMoments:
        """Start empty sums of the right sizes."""
        n_classes, embedding_dim = self.overall.shape
        return ClassMoments(self.n_modalities, n_classes, embedding_dim, self.metric)

    def fit(self, moments: ClassMoments) -> None:
        """Set the buffers from sums over the training set.

        Raises:
            ValueError: a class has no training sample in some subset; the text names both.
        """
        empty = (moments.count == 0).nonzero()
        if len(empty):
            subset, label = empty[0].tolist()
            members = enumerate_subsets(self.n_modalities)[subset].nonzero().flatten().tolist()
            raise ValueError(
                f"every class needs a training sample with every subset of modalities, however: class {label} has none "
                f"that holds modalities {members}; train on more subjects or with fewer modalities"
            )
        mean = moments.total / moments.count.unsqueeze(-1)
        second = moments.second / moments.count.reshape(moments.count.shape + (1,) * (moments.second.ndim - 2))
        norm = mean.square().sum(-1)
        if self.metric is Metric.COSINE:  # mean of (1 - z.c)^2, with c the mean of z
            square = 1 - 2 * norm + torch.einsum("skd,skde,ske->sk", mean, second, mean)
        else:
            square = second - norm
        self.prototypes.copy_(mean)
        self.std.copy_(square.clamp_min(0).sqrt())
        self.overall.copy_(mean.mean(0))
        self.is_fitted.fill_(True)

    def set_prevalence(self, prevalence: Sequence[float], learned_prevalence: Sequence[float]) -> None:
        """Record how frequent the classes were in training.

        Args:
            prevalence: Share of each class among the training subjects, K fractions that add up to 1.
            learned_prevalence: The same as the loss met it.

        Raises:
            ValueError: the shares are not those of the K classes.
        """
        given = {"prevalence": prevalence, "learned_prevalence": learned_prevalence}
        for name, shares in given.items():
            if len(shares) != len(self.overall) or min(shares) < 0 or not math.isclose(sum(shares), 1, abs_tol=1e-4):
                raise ValueError(
                    f"{name} must be {len(self.overall)} shares that add up to 1, however: {list(shares)}; give that "
                    "of every class"
                )
        for name, shares in given.items():
            getattr(self, name).copy_(torch.tensor(shares))

    def check_fitted(self) -> None:
        """Refuse to be used before :meth:`fit`.

        Raises:
            RuntimeError: the statistics are not fitted.
        """
        if not bool(self.is_fitted):
            raise RuntimeError(
                f"class statistics are not fitted (std of {tuple(self.std.shape)} is empty): load a checkpoint of a "
                "finished training, or fit them on the training set"
            )
