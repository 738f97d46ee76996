"""Recoveries that are fitted rather than trained."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from dymo_med.recovery import TableRecovery
from dymo_med.utils import process_rank, save_weights

__all__ = ["RecoveryFitter"]


class RecoveryFitter:
    """Fits a recovery of a table on the training subjects when training starts, and writes its weights.

    Args:
        recovery: Recovery to fit; its ``target`` names the table in the items.
        items: Training subjects with the table (F,), or None, and its mask ``<target>_missing`` (F,).
        output: File to write.

    Raises:
        ValueError: nobody has a table, or the recovery cannot be fitted on those there are.

    Example:
        >>> from dymo_med.recovery import MeanModeRecovery
        >>> RecoveryFitter(MeanModeRecovery("table", [2], 1), [{"table": None}], "mean_mode.pt")(None)
        Traceback (most recent call last):
        ...
        ValueError: recovery 'mean_mode' needs training subjects with 'table', however: 0 of 1 have one; prepare a \
cohort with tables
    """

    def __init__(self, recovery: TableRecovery, items: Sequence[dict[str, Any]], output: str | Path) -> None:
        self.recovery = recovery
        self.items = items
        self.output = Path(output)
        self.logger = logging.getLogger(__name__)

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, _: Engine | None) -> None:
        """Fit and write, in the first of several processes."""
        if process_rank() != 0:
            return
        target, name = self.recovery.target, self.recovery.name
        rows = [item for item in self.items if item[target] is not None]
        if not rows:
            raise ValueError(
                f"recovery {name!r} needs training subjects with {target!r}, however: 0 of {len(self.items)} have one; "
                "prepare a cohort with tables"
            )
        values, missing = (np.stack([item[key] for item in rows]) for key in (target, f"{target}_missing"))
        self.recovery.fit(torch.from_numpy(values), torch.from_numpy(missing))
        save_weights(self.output, self.recovery.state_dict())
        self.logger.info("recovery %r fitted on %d training subjects", name, len(rows))
