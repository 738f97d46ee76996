"""Inferer of prediction: recover, select, fuse."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from monai.inferers import Inferer

from dymo_med.networks import have_same_weights
from dymo_med.networks.nets import MultimodalTransformer
from dymo_med.recovery.base import Proposal, Recovery
from dymo_med.selection import Selection, TokenBank, Tokens, select
from dymo_med.utils import ICSWeight, Strategy, as_choice, check_positive

__all__ = ["Policy", "SelectionInferer", "build_bank"]


@dataclass(frozen=True)
class Policy:
    """How recovered modalities are selected.

    Args:
        strategy: ``"discard"``, ``"fuse_all"``, ``"simultaneous"`` or ``"greedy"``.
        ics_weight: ``"none"``, ``"ratio"`` or ``"log_ratio"``; only rewards use it.

    Raises:
        ValueError: a name is unknown.

    Example:
        >>> Policy("greedy", "ratio").strategy.name
        'GREEDY'
    """

    strategy: str
    ics_weight: str = "none"

    def __post_init__(self) -> None:
        object.__setattr__(self, "strategy", as_choice("strategy", self.strategy, Strategy))
        object.__setattr__(self, "ics_weight", as_choice("ics_weight", self.ics_weight, ICSWeight))


class SelectionInferer(Inferer):
    """Predicts every sample with the modalities that are worth fusing (METHOD section 5).

    Every present input and every proposal of a recovery is encoded once; all policies then decide on the same tokens.
    Nothing is fitted here, and no label is needed.

    Args:
        recoveries: Recoveries in order of preference; several may fill the same modality, under different names.
        policies: What to compare, by name; one for prediction.
        temperature: Softmax temperature of the confidence; 0.1 in the paper.

    Raises:
        ValueError: there is no policy, or two recoveries of a modality share a name.

    Example:
        >>> inferer = SelectionInferer([], {"discard": Policy("discard")})
        >>> sorted(inferer.policies)
        ['discard']
    """

    def __init__(
        self, recoveries: Sequence[Recovery], policies: Mapping[str, Policy], temperature: float = 0.1
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
            )
            selections[name] = replace(
                selection,
                logits=selection.logits.masked_fill(nothing, torch.nan),
                embedding=selection.embedding.masked_fill(nothing, torch.nan),
            )
        return selections


def build_bank(
    network: MultimodalTransformer,
    inputs: Mapping[str, torch.Tensor],
    missing: Mapping[str, torch.Tensor],
    recoveries: Sequence[Recovery],
) -> TokenBank:
    """Encode what was observed and what recoveries propose: every sample once, every modality in one call.

    Where a recovery holds the very encoder of the network (equal weights) for a modality that nobody recovers, it takes
    its output from there.

    Args:
        network: Network whose encoders are used.
        inputs: Contents by modality, shape (B, ...).
        missing: Masks by modality, boolean (B, P).
        recoveries: Recoveries in order of preference; each sees only the samples that lack a part of its target.

    Returns:
        The bank of token variants.

    Raises:
        ValueError: a recovery fills a modality that the network does not have.
    """
    for recovery in recoveries:
        if recovery.target not in inputs:
            fills = f"{recovery.name} fills {recovery.target!r}"
            raise ValueError(f"a recovery must fill one of {sorted(inputs)}, however: {fills}")
    untouched = inputs.keys() - {recovery.target for recovery in recoveries}
    features = {name: network.features(name, inputs[name], missing[name]) for name in inputs if name in untouched}
    offers: dict[str, dict[str, Proposal]] = {name: {} for name in inputs}
    for recovery in recoveries:
        shared = {name: part for name, part in features.items() if _shares_encoder(recovery, network, name)}
        offers[recovery.target][recovery.name] = _recover(recovery, inputs, missing, shared)
    observed, proposals = {}, {}
    for name, offered in offers.items():
        if name in features:
            observed[name] = network.project(name, features[name], missing[name])
        else:
            observed[name], *encoded = _encode_variants(network, name, inputs[name], missing[name], offered.values())
            proposals[name] = dict(zip(offered, encoded, strict=True))
    available = {name: {key: offer.available for key, offer in offers[name].items()} for name in proposals}
    return TokenBank(observed, proposals, available)


def _recover(
    recovery: Recovery,
    inputs: Mapping[str, torch.Tensor],
    missing: Mapping[str, torch.Tensor],
    features: Mapping[str, torch.Tensor],
) -> Proposal:
    """Ask a recovery for the samples that lack a part of its target; for all others nothing is available."""
    values, exists = torch.zeros_like(inputs[recovery.target]), missing[recovery.target].any(1)
    rows = exists.nonzero().flatten()
    if len(rows):
        proposal = recovery.propose(_rows_of(inputs, rows), _rows_of(missing, rows), _rows_of(features, rows))
        values = values.index_copy(0, rows, proposal.values)
        exists = exists.index_copy(0, rows, proposal.available)
    return Proposal(values, exists)


def _encode_variants(
    network: MultimodalTransformer, name: str, x: torch.Tensor, missing: torch.Tensor, offers: Iterable[Proposal]
) -> list[Tokens]:
    """Encode a modality as observed and as every recovery proposes it, in one call."""
    contents, masks = [x], [missing]
    for offer in offers:
        contents.append(offer.values)
        masks.append(~offer.available.unsqueeze(1).expand_as(missing))
    tokens = network.encode(name, torch.cat(contents), torch.cat(masks))
    parts = zip(torch.split(tokens.values, len(x)), torch.split(tokens.missing, len(x)), strict=True)
    return [Tokens(values, mask) for values, mask in parts]


def _shares_encoder(recovery: Recovery, network: MultimodalTransformer, name: str) -> bool:
    encoder = recovery.encoder_of(name)
    return encoder is not None and have_same_weights(encoder, network.encoders[name])


def _rows_of(items: Mapping[str, torch.Tensor], rows: torch.Tensor) -> dict[str, torch.Tensor]:
    return {name: item[rows] for name, item in items.items()}
