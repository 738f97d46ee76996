"""Early stopping that a checkpoint can hold."""

from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping
from monai.engines import Trainer

__all__ = ["EarlyStop"]


class EarlyStop:
    """Stops a trainer when the key metric of its evaluator has not grown for some validations.

    MONAI's ``EarlyStopHandler`` cannot be stored: a run that goes on would begin to count anew. Every process decides
    the same, because the metric is that of all processes.

    Args:
        patience: Validations without improvement after which training ends.
        min_delta: Least growth that counts as improvement.

    Raises:
        ValueError: ``patience`` or ``min_delta`` is out of range.

    Example:
        >>> EarlyStop(patience=2).state_dict()
        {'counter': 0, 'best_score': None, 'threshold_mode': 'abs'}
    """

    def __init__(self, patience: int, min_delta: float = 0.0) -> None:
        self._nobody = Engine(lambda *_: None)
        self._stopping = EarlyStopping(patience, _key_metric, self._nobody, threshold=min_delta)

    def set_trainer(self, trainer: Trainer) -> None:
        """Name the trainer to stop; it is made after its evaluator."""
        self._stopping.trainer = trainer

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Count, and stop the trainer when it is time.

        Raises:
            RuntimeError: no trainer was named.
        """
        if self._stopping.trainer is self._nobody:
            raise RuntimeError(f"early stopping must know its trainer, however: trainer={None}; call set_trainer first")
        self._stopping(engine)

    def state_dict(self) -> dict[str, Any]:
        """Give counter and best score."""
        return dict(self._stopping.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on counting."""
        self._stopping.load_state_dict(state)


def _key_metric(engine: Engine) -> float:
    return float(engine.state.metrics[engine.state.key_metric_name])  # type: ignore[attr-defined]
