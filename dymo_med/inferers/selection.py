"""Inferer of prediction: recover, select, fuse."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from monai.inferers import Inferer

from dymo_med.inferers.bank import build_bank
from dymo_med.inferers.policy import Policy
from dymo_med.networks.nets import MultimodalTransformer
from dymo_med.recovery.base import Recovery
from dymo_med.selection import Selection, select
from dymo_med.utils import ICSWeight, Strategy, check_positive

__all__ = ["SelectionInferer"]


class SelectionInferer(Inferer):
    """Predicts every sample with the modalities that are worth fusing (METHOD section 5).

    Every present input and every proposal of a recovery is encoded once; all policies then decide on the same tokens.
    Nothing is fitted here, and no label is needed.

    Args:
        recoveries: Recoveries in order of preference; several may fill the same modality, under different names.
        policies: What to compare, by name; one for prediction.
        temperature: Softmax temperature of the confidence; 0.1 in the paper.
        calibration: Turns the logits (B, K) of the prediction into calibrated ones; None = they stay. Selection itself
            sees the network's own.

    Raises:
        ValueError: there is no policy, or two recoveries of a modality share a name.

    Example:
        >>> inferer = SelectionInferer([], {"discard": Policy("discard")})
        >>> sorted(inferer.policies)
        ['discard']
    """

    def __init__(
        self,
        recoveries: Sequence[Recovery],
        policies: Mapping[str, Policy],
        temperature: float = 0.1,
        calibration: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        super().__init__()
        check_positive("temperature", temperature)
        if not policies:
            raise ValueError(f"a prediction needs at least one policy, however: policies={dict(policies)}")
        names = [(recovery.target, recovery.name) for recovery in recoveries]
        if len(set(names)) < len(names):
            raise ValueError(f"recoveries of one modality need different names, however: {names}")
        self.recoveries = list(recoveries)
        self.policies = dict(policies)
        self.temperature = temperature
        self.calibration = calibration

    @torch.no_grad()
    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> dict[str, Selection]:
        """Predict a batch.

        Args:
            inputs: First modality, shape (B, ...).
            network: A :class:`~dymo_med.networks.nets.MultimodalTransformer`, bare or wrapped, with fitted statistics.
            args: Further inputs of the network.
            kwargs: Further inputs of the network by name.

        Returns:
            A selection for every policy. A sample of which nothing was observed has nan logits and embedding.
        """
        classifier = cast(MultimodalTransformer, getattr(network, "module", network))
        contents, missing = classifier.bind(inputs, *args, **kwargs)
        bank = build_bank(classifier, contents, missing, self.recoveries)
        nothing = (bank.observed_share == 0).all(1, keepdim=True)
        selections = {}
        for name, policy in self.policies.items():
            selection = select(
                classifier.fuse,
                bank,
                classifier.statistics,
                strategy=Strategy(policy.strategy),
                ics_weight=ICSWeight(policy.ics_weight),
                temperature=self.temperature,
                threshold=policy.thresholds(bank),
            )
            logits = selection.logits if self.calibration is None else self.calibration(selection.logits)
            selections[name] = replace(
                selection,
                logits=logits.masked_fill(nothing, torch.nan),
                embedding=selection.embedding.masked_fill(nothing, torch.nan),
            )
        return selections
