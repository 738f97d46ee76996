"""From a batch to the token variants that selection moves through: every input and every proposal encoded once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch

from dymo_med.networks import have_same_weights
from dymo_med.networks.nets import MultimodalTransformer
from dymo_med.networks.nets.encoder import ModalityEncoder
from dymo_med.recovery.base import Proposal, Recovery
from dymo_med.selection import TokenBank, Tokens

__all__ = ["Encoded", "build_bank", "encode_shared"]


@dataclass(frozen=True)
class Encoded:
    """Encoder outputs that exist already and serve many banks, such as those of an image under many gaps of a table.

    Args:
        of_network: By modality the output (B, P, E) of the network's encoder.
        of_recoveries: For every recovery the same of its own encoders.

    Example:
        >>> encoded = Encoded({"image": torch.arange(6.0).view(3, 2, 1)}, [{}])
        >>> encoded.rows(torch.tensor([2, 2, 0])).of_network["image"].shape
        torch.Size([3, 2, 1])
    """

    of_network: dict[str, torch.Tensor]
    of_recoveries: list[dict[str, torch.Tensor]]

    def rows(self, index: torch.Tensor) -> "Encoded":
        """Give the outputs of chosen samples, int64 (R,); one may be chosen several times."""
        return Encoded(_rows_of(self.of_network, index), [_rows_of(parts, index) for parts in self.of_recoveries])


def encode_shared(
    network: MultimodalTransformer,
    inputs: Mapping[str, torch.Tensor],
    missing: Mapping[str, torch.Tensor],
    recoveries: Sequence[Recovery],
    names: Sequence[str],
) -> Encoded:
    """Encode modalities for the network and for every recovery that has an encoder of its own for them.

    Where a recovery holds the very encoder of the network (equal weights), it takes its output from there.

    Args:
        network: Network whose encoders are used.
        inputs: Contents by modality, shape (B, ...).
        missing: Masks by modality, boolean (B, P).
        recoveries: Recoveries, in the order in which :func:`build_bank` gets them.
        names: Modalities to encode.

    Returns:
        The outputs; zeros for samples of which nothing is present.
    """
    own = {name: network.features(name, inputs[name], missing[name]) for name in names}
    of_recoveries = []
    for recovery in recoveries:
        parts = _in_common(recovery, network, own)
        for name in own.keys() - parts.keys():
            encoder = recovery.encoder_of(name)
            if encoder is not None:
                parts[name] = _encode_present(cast(ModalityEncoder, encoder), inputs[name], missing[name])
        of_recoveries.append(parts)
    return Encoded(own, of_recoveries)


def build_bank(
    network: MultimodalTransformer,
    inputs: Mapping[str, torch.Tensor],
    missing: Mapping[str, torch.Tensor],
    recoveries: Sequence[Recovery],
    encoded: Encoded | None = None,
) -> TokenBank:
    """Encode what was observed and what recoveries propose: every sample once, every modality in one call.

    Where a recovery holds the very encoder of the network (equal weights) for a modality that nobody recovers, it takes
    its output from there. What recoveries of several modalities by one network have in common is computed once.

    Args:
        network: Network whose encoders are used.
        inputs: Contents by modality, shape (B, ...).
        missing: Masks by modality, boolean (B, P).
        recoveries: Recoveries in order of preference; each sees only the samples that lack a part of its target.
        encoded: What :func:`encode_shared` gave for these samples and recoveries; those modalities are not encoded
            again, whatever is missing of them here.

    Returns:
        The bank of token variants.

    Raises:
        ValueError: a recovery fills a modality that the network does not have.
    """
    for recovery in recoveries:
        if recovery.target not in inputs:
            fills = f"{recovery.name} fills {recovery.target!r}"
            raise ValueError(f"a recovery must fill one of {sorted(inputs)}, however: {fills}")
    if encoded is None:
        targets = {recovery.target for recovery in recoveries}
        own = {name: network.features(name, inputs[name], missing[name]) for name in inputs if name not in targets}
        encoded = Encoded(own, [_in_common(recovery, network, own) for recovery in recoveries])
    offers: dict[str, dict[str, Proposal]] = {name: {} for name in inputs}
    common: dict[torch.nn.Module, dict[str, torch.Tensor]] = {}
    for recovery, known in zip(recoveries, encoded.of_recoveries, strict=True):
        if recovery.shared is not None:
            if recovery.shared not in common:
                common[recovery.shared] = recovery.prepare(inputs, missing)
            known = known | common[recovery.shared]
        offers[recovery.target][recovery.name] = _recover(recovery, inputs, missing, known)
    observed: dict[str, Tokens] = {}
    proposals: dict[str, dict[str, Tokens]] = {}
    for name, offered in offers.items():
        mask = missing[name]
        variants = [(offer.values, ~offer.available.unsqueeze(1).expand_as(mask)) for offer in offered.values()]
        if name in encoded.of_network:
            observed[name] = network.project(name, encoded.of_network[name], mask)
            tokens = _encode_in_one_call(network, name, variants)
        else:
            observed[name], *tokens = _encode_in_one_call(network, name, [(inputs[name], mask), *variants])
        if offered:
            proposals[name] = dict(zip(offered, tokens, strict=True))
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


def _encode_in_one_call(
    network: MultimodalTransformer, name: str, variants: Sequence[tuple[torch.Tensor, torch.Tensor]]
) -> list[Tokens]:
    """Encode several (content, mask) of a modality."""
    if not variants:
        return []
    contents, masks = zip(*variants, strict=True)
    tokens = network.encode(name, torch.cat(contents), torch.cat(masks))
    size = len(contents[0])
    parts = zip(torch.split(tokens.values, size), torch.split(tokens.missing, size), strict=True)
    return [Tokens(values, mask) for values, mask in parts]


def _encode_present(encoder: ModalityEncoder, x: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
    rows = (~missing.all(1)).nonzero().flatten()
    features = x.new_zeros(len(x), encoder.n_tokens, encoder.token_dim)
    if not len(rows):
        return features
    encoded = encoder(encoder.clean(x[rows], missing[rows]), missing[rows])
    return features.to(encoded.dtype).index_copy(0, rows, encoded)


def _in_common(
    recovery: Recovery, network: MultimodalTransformer, own: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Give what the network's encoders gave where the recovery has the same ones."""
    encoders = {name: recovery.encoder_of(name) for name in own}
    return {
        name: own[name]
        for name, encoder in encoders.items()
        if encoder is not None and have_same_weights(encoder, network.encoders[name])
    }


def _rows_of(items: Mapping[str, torch.Tensor], rows: torch.Tensor) -> dict[str, torch.Tensor]:
    return {name: item[rows] for name, item in items.items()}
