"""Names of the choices that configurations make."""

from enum import StrEnum

__all__ = ["ClassBalance", "ICSWeight", "Metric", "Strategy", "TableDecoding"]


class Metric(StrEnum):
    """Distance in the metric space (METHOD: sections 3 to 5).

    ``COSINE`` expects L2-normalised features; ``SQUARED_EUCLIDEAN`` leaves features as they are.
    """

    COSINE = "cosine"
    SQUARED_EUCLIDEAN = "squared_euclidean"


class ClassBalance(StrEnum):
    """What is done about rare classes in the training of a classifier.

    ``LOSS_WEIGHTS`` all subjects, rare classes weighted up in the loss; ``BALANCED_SUBSET`` as many subjects of every
    class as the rarest has, as published; ``NONE`` all subjects, equal weights.
    """

    LOSS_WEIGHTS = "loss_weights"
    BALANCED_SUBSET = "balanced_subset"
    NONE = "none"


class ICSWeight(StrEnum):
    """Form of the factor alpha that intra-class similarity puts on the confidence after a fusion."""

    NONE = "none"
    RATIO = "ratio"
    LOG_RATIO = "log_ratio"


class Strategy(StrEnum):
    """Which recovered modalities are fused.

    ``DISCARD`` none; ``FUSE_ALL`` every one; ``SIMULTANEOUS`` at once all whose first reward is positive; ``GREEDY``
    one at a time, the highest positive reward first, rewards computed anew after every fusion.
    """

    DISCARD = "discard"
    FUSE_ALL = "fuse_all"
    SIMULTANEOUS = "simultaneous"
    GREEDY = "greedy"


class TableDecoding(StrEnum):
    """How the category of a recovered column is read from logits over the categories of all columns.

    ``COLUMN`` restricts the argmax to the column's own categories; ``GLOBAL`` takes the argmax over all of them,
    subtracts the column's offset and clamps, as the published weights were used.
    """

    COLUMN = "column"
    GLOBAL = "global"
