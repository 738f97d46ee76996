"""Selection without any saving, to compare with: what a direct reading of the method costs.

For every candidate of every step the network runs anew on all modalities, once without and once with the candidate, and
intra-class similarity is computed sample by sample. Only samples for which the candidate is still open are computed.
"""

import math

import torch

from benchmarks.cases import Case
from dymo_med.missingness.subsets import subset_codes
from dymo_med.networks.nets import MultimodalTransformer
from dymo_med.selection import Fused
from dymo_med.utils import Metric

__all__ = ["naive_select"]

Parts = dict[str, torch.Tensor]


@torch.no_grad()
def naive_select(case: Case, proposals: Parts) -> torch.Tensor:
    """Choose greedily and give which modality was fused, boolean (B, M).

    Args:
        case: Network and batch.
        proposals: Recovered content by modality, (B, ...); what stands in rows that miss nothing is not used.
    """
    network, names = case.network, case.network.modalities
    contents = {name: x.clone() for name, x in case.complete.items()}
    missing = {name: mask.clone() for name, mask in case.missing.items()}
    members = torch.stack([~missing[name].any(1) for name in names], 1)
    is_open = ~members
    chosen = torch.zeros_like(members)
    for _ in names:
        gain = torch.full(members.shape, -torch.inf, device=members.device)
        for index, name in enumerate(names):
            rows = is_open[:, index].nonzero().flatten()
            if len(rows):
                before = {n: x[rows] for n, x in contents.items()}, {n: m[rows] for n, m in missing.items()}
                after = {**before[0], name: proposals[name][rows]}, {**before[1], name: missing[name][rows] & False}
                fuller = members[rows].clone()
                fuller[:, index] = True
                gain[rows, index] = _gain(case, before, after, members[rows], fuller)
        best, index = gain.max(1)
        is_open &= (gain >= 0) & (best > 0).unsqueeze(1)
        for row in (best > 0).nonzero().flatten().tolist():
            name = names[int(index[row])]
            contents[name][row], missing[name][row] = proposals[name][row], False
            members[row, index[row]] = chosen[row, index[row]] = True
            is_open[row, index[row]] = False
        if not bool(is_open.any()):
            break
    _run(network, contents, missing)
    return chosen


def _gain(
    case: Case, before: tuple[Parts, Parts], after: tuple[Parts, Parts], members: torch.Tensor, fuller: torch.Tensor
) -> torch.Tensor:
    network = case.network
    old, new = _run(network, *before), _run(network, *after)
    overall = network.statistics.overall
    q_old, q_new = (torch.softmax(_scores(z.embedding, overall, network.metric) / 0.1, -1).amax(-1) for z in (old, new))
    p_old, p_new = _similarities(network, old, members), _similarities(network, new, fuller)
    gains = []
    for q, q_u, p, p_u in zip(q_old.tolist(), q_new.tolist(), p_old, p_new, strict=True):
        gains.append(_weight(p, p_u, case.ics_weight) * q_u - q)
    return torch.tensor(gains, device=q_old.device)


def _run(network: MultimodalTransformer, contents: Parts, missing: Parts) -> Fused:
    """Encode every modality of every sample, hide what is missing, fuse all tokens."""
    tokens = {}
    for name, x in contents.items():
        encoder = network.encoders[name]
        tokens[name] = network.project(name, encoder(encoder.clean(x, missing[name]), missing[name]), missing[name])
    return network.fuse_static(tokens)


def _scores(z: torch.Tensor, prototypes: torch.Tensor, metric: Metric) -> torch.Tensor:
    return z @ prototypes.T if metric is Metric.COSINE else -torch.cdist(z, prototypes).square()


def _similarities(network: MultimodalTransformer, fused: Fused, members: torch.Tensor) -> list[float]:
    statistics, similarities = network.statistics, []
    for row, code in enumerate(subset_codes(members).tolist()):
        if code < 0:
            similarities.append(math.nan)
            continue
        label = int(fused.logits[row].argmax())
        center, z = statistics.prototypes[code, label], fused.embedding[row]
        distance = 1 - z @ center if network.metric is Metric.COSINE else (z - center).norm()
        similarities.append(math.erfc(float(distance / statistics.std[code, label]) / math.sqrt(2)))
    return similarities


def _weight(p: float, p_u: float, form: str) -> float:
    if form == "none" or math.isnan(p) or p_u >= p:
        return 1.0
    if form == "ratio":
        return p_u / (p + 1e-9)
    return min(1.0, max(-math.log(p), 1e-9) / max(-math.log(p_u + 1e-9), 1e-9))
