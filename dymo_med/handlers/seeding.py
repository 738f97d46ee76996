"""Random states that follow from seed and epoch."""

from collections.abc import Sequence
from typing import Any, Protocol

from ignite.engine import Engine, Events
from ignite.utils import manual_seed

from dymo_med.utils import derived_seed, process_rank

__all__ = ["EpochSeed", "FollowsEpochs"]


class FollowsEpochs(Protocol):
    """Draws that depend on the epoch that was last named."""

    def set_epoch(self, epoch: int) -> None:
        """Name the epoch."""


class EpochSeed:
    """Makes every draw of an epoch a function of seed, epoch and place.

    At the start of each epoch the generators of Python, NumPy and torch are seeded from seed, epoch and process, and
    everything that draws by itself is told the epoch. Nothing then depends on what was drawn in earlier epochs: a run
    that goes on from the end of an epoch equals one that was never interrupted, and seed and epoch are all there is to
    store of the random states. Samplers of MONAI's workflows are told the epoch by the workflow.

    Args:
        seed: Seed of the run.
        followers: Data sets and inferers that draw by themselves.

    Example:
        >>> import torch
        >>> draws = []
        >>> engine = Engine(lambda engine, batch: draws.append(float(torch.rand(()))))
        >>> EpochSeed(seed=1, followers=[]).attach(engine)
        >>> _ = engine.run([0], max_epochs=2)
        >>> _ = engine.run([0], max_epochs=2)  # a new run of both epochs
        >>> draws[0] != draws[1], draws[:2] == draws[2:]
        (True, True)
    """

    def __init__(self, seed: int, followers: Sequence[FollowsEpochs]) -> None:
        self.seed = seed
        self.followers = list(followers)

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed the epoch that begins."""
        manual_seed(derived_seed(self.seed, engine.state.epoch, process_rank()))
        for follower in self.followers:
            follower.set_epoch(engine.state.epoch)

    def state_dict(self) -> dict[str, Any]:
        """Give what the random states of every epoch follow from."""
        return {"seed": self.seed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the seed of the run that goes on."""
        self.seed = state["seed"]
