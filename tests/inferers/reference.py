"""One sample from end to end, slowly: recovered and encoded by equations, selected by loops."""

import numpy as np

from tests.networks import oracle as equations
from tests.networks import weights
from tests.selection import oracle


def decide(sample, arrays, tip_arrays, statistics, policy, *, metric, decoding, fill=None):
    """Decide for one sample; ``fill`` holds what a second, plain recovery puts into gaps, None = there is none."""
    missing = sample["table_missing"]
    row = np.where(missing, 0.0, sample["table"])
    has_image, whole = not sample["image_missing"], np.zeros(len(row), dtype=bool)
    image = equations.image_tokens(sample["image"], arrays) if has_image else None

    def table(values, mask):
        return equations.table_tokens(values, mask, arrays, weights.CARDINALITIES, weights.HEADS["table_heads"]), mask

    candidates = {}
    if missing.any():
        if fill is not None:
            candidates[1, 2] = table(np.where(missing, fill, row), whole)
        if has_image:
            completed = equations.recover(
                sample["image"], row, missing, tip_arrays, weights.CARDINALITIES, decoding=decoding, **weights.TIP_HEADS
            )
            candidates[1, 1] = table(completed, whole)

    def fuse(parts):
        dim = arrays["cls_token"].shape[-1]
        picture, (values, mask) = parts[0], parts[1] or (np.zeros((len(row), dim)), ~whole)
        tokens = [np.zeros((4, dim)) if picture is None else picture, values]
        return equations.fuse(
            tokens, [np.full(4, picture is None), mask], arrays, weights.HEADS["fusion_heads"], metric
        )

    observed = [image, None if missing.all() else table(row, missing)]
    return oracle.select_one(
        fuse,
        oracle.OracleObserved(observed, [has_image, not missing.any()]),
        candidates,
        statistics,
        strategy=str(policy.strategy),
        ics_weight=str(policy.ics_weight),
        metric=metric,
    )
