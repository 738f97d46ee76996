"""What is measured: networks of the published sizes with random weights, and batches with parts missing.

Random networks hardly tell one sample from another, so that rewards would all be nearly zero. Three things give them
something to decide: projection and classifier are centred and stretched on a random batch, class statistics are
fitted on those features, with a class for every side of the space and wide classes, so that similarities weigh but do
not decide alone, and the overall prototype of one class is then moved along the mean change by fusion until about half
of all rewards are positive.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
import torch.nn.functional as F

from dymo_med.inferers import Policy, SelectionInferer, build_bank
from dymo_med.networks import prepare_for_inference
from dymo_med.networks.nets import TIP, ConvEncoder, ImageEncoder, MultimodalTransformer, TableEncoder
from dymo_med.recovery import Proposal, Recovery, TIPRecovery
from dymo_med.selection import Selection, select
from dymo_med.utils import ICSWeight, Strategy

CARDIAC_CARDINALITIES = [2] * 20 + [3, 4, 4, 5, 6, 8]
"""26 categorical columns, as many as the cardiac table has; 49 continuous ones follow."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of networks; the defaults are the published ones, :data:`TINY` serves tests of the benchmark itself."""

    image_size: int = 128
    resnet: Mapping[str, object] = field(default_factory=dict)
    cardinalities: Sequence[int] = tuple(CARDIAC_CARDINALITIES)
    n_numbers: int = 49
    table: Mapping[str, int] = field(default_factory=dict)
    tip: Mapping[str, int] = field(default_factory=dict)
    fusion: Mapping[str, int] = field(default_factory=dict)
    poly_channels: Sequence[int] = (32, 64, 128)
    poly_fusion: Mapping[str, int] = field(
        default_factory=lambda: {"dim": 128, "n_heads": 4, "n_blocks": 2, "embedding_dim": 64}
    )


PUBLISHED = Sizes()
TINY = Sizes(
    image_size=32,
    resnet={"block": "basic", "layers": [1] * 4, "channels": [4, 4, 8, 8]},
    cardinalities=(2, 3),
    n_numbers=3,
    table={"dim": 8, "n_blocks": 1, "n_heads": 2},
    tip={"n_blocks": 1, "n_heads": 2},
    fusion={"dim": 16, "n_heads": 2, "embedding_dim": 8},
    poly_channels=(4, 8, 8),
    poly_fusion={"dim": 16, "n_heads": 2, "n_blocks": 2, "embedding_dim": 8},
)


@dataclass(frozen=True)
class Case:
    """One thing to measure: a network, a batch with parts missing, and the complete batch for the plain forward."""

    name: str
    network: MultimodalTransformer
    recoveries: list[Recovery]
    complete: dict[str, torch.Tensor]
    missing: dict[str, torch.Tensor]
    ics_weight: str

    @property
    def batch_size(self) -> int:
        """Number of samples."""
        return len(next(iter(self.missing.values())))

    def plain(self) -> torch.Tensor:
        """Classify the complete batch once."""
        return self.network(**self.complete)

    def recover(self) -> dict[str, torch.Tensor]:
        """Run every recovery on the rows that need it and give the proposals for all rows."""
        proposals = {}
        for recovery in self.recoveries:
            rows = self.missing[recovery.target].any(1)
            proposal = recovery(
                {name: x[rows] for name, x in self.complete.items()},
                {name: mask[rows] for name, mask in self.missing.items()},
            )
            values = torch.zeros_like(self.complete[recovery.target])
            values[rows] = proposal.values
            proposals[recovery.target] = values
        return proposals

    def select(self) -> Selection:
        """Predict the batch with its gaps as the library does: recover, encode, select."""
        policies = {"prediction": Policy("greedy", self.ics_weight)}
        masks = {f"{name}_missing": mask for name, mask in self.missing.items()}
        first, *others = self.network.modalities
        rest = {name: self.complete[name] for name in others}
        inferer = SelectionInferer(self.recoveries, policies)
        return inferer(self.complete[first], self.network, **rest, **masks)["prediction"]


class GivenProposals(Recovery):
    """Proposals that were computed before: what they cost is no part of the measurement."""

    name: ClassVar[str] = "given"

    def __init__(self, target: str, values: torch.Tensor) -> None:
        super().__init__(target)
        self.register_buffer("values", values)

    def forward(self, inputs, missing):  # noqa: ARG002 - nothing is computed
        """Give them."""
        return Proposal(self.values, torch.ones(len(self.values), dtype=torch.bool, device=self.values.device))


def cardiac_case(name: str, cell_rate: float, batch_size: int = 32, sizes: Sizes = PUBLISHED, seed: int = 0) -> Case:
    """Image and table of UK Biobank's size; TIP recovers what is missing of the table (all of it for a rate of 1)."""
    torch.manual_seed(seed)
    network = cardiac_network(sizes).eval()
    tip = cardiac_tip(sizes).eval()
    complete = cardiac_batch(sizes, batch_size)
    n_columns = len(sizes.cardinalities) + sizes.n_numbers
    missing = {
        "image": torch.zeros(batch_size, network.encoders["image"].n_tokens, dtype=torch.bool),
        "table": torch.rand(batch_size, n_columns) < cell_rate,
    }
    case = Case(name, network, [TIPRecovery(tip)], complete, missing, "ratio")
    _give_it_something_to_decide(case)
    return case


def cardiac_network(sizes: Sizes = PUBLISHED) -> MultimodalTransformer:
    """Make the classifier of image and table."""
    return MultimodalTransformer(_cardiac_encoders(sizes), n_classes=2, **sizes.fusion)


def cardiac_tip(sizes: Sizes = PUBLISHED) -> TIP:
    """Make the recovery of the table, with encoders of its own."""
    return TIP(*_cardiac_encoders(sizes).values(), **sizes.tip)


def pictures_case(
    name: str, n_modalities: int, n_observed: int, batch_size: int = 64, sizes: Sizes = PUBLISHED, seed: int = 0
) -> Case:
    """Pictures of PolyMNIST's size; every sample has other modalities observed, proposals are random pictures."""
    torch.manual_seed(seed)
    names = [f"m{index}" for index in range(n_modalities)]
    encoders = {name: ConvEncoder(3, 28, channels=sizes.poly_channels) for name in names}
    network = MultimodalTransformer(encoders, n_classes=10, **sizes.poly_fusion).eval()
    complete = {name: torch.rand(batch_size, 3, 28, 28) for name in names}
    is_missing = torch.rand(batch_size, n_modalities).argsort(1) >= n_observed
    missing = {n: is_missing[:, [i]].expand(-1, encoders[n].n_tokens) for i, n in enumerate(names)}
    recoveries = [GivenProposals(n, torch.rand(int(is_missing[:, i].sum()), 3, 28, 28)) for i, n in enumerate(names)]
    case = Case(name, network, recoveries, complete, missing, "log_ratio")
    _give_it_something_to_decide(case)
    return case


def on_device(case: Case, device: str, dtype: str = "float32", compiled: bool = False) -> Case:
    """Move a case to a device; other than float32 or compiled, with networks prepared for it."""
    network, recoveries = case.network, case.recoveries
    if dtype != "float32" or compiled:
        network = prepare_for_inference(network, dtype=dtype, compiled=compiled)
        recoveries = [prepare_for_inference(recovery, dtype=dtype, compiled=compiled) for recovery in recoveries]
    return replace(
        case,
        network=network.to(device),
        recoveries=[recovery.to(device) for recovery in recoveries],
        complete={name: x.to(device) for name, x in case.complete.items()},
        missing={name: mask.to(device) for name, mask in case.missing.items()},
    )


def positive_share(selection: Selection) -> float:
    """Positive rewards over all rewards of a selection."""
    return float((_rewards(selection) > 0).float().mean())


@contextmanager
def counted_rows(encoders: Mapping[str, torch.nn.Module]):
    """Count the samples that pass through each of some encoders while the block runs."""
    rows = dict.fromkeys(encoders, 0)

    def counter(name: str) -> Callable[..., None]:
        def count(_module, inputs):
            rows[name] += len(inputs[0])

        return count

    hooks = [encoders[name].register_forward_pre_hook(counter(name)) for name in rows]
    try:
        yield rows
    finally:
        for hook in hooks:
            hook.remove()


def _cardiac_encoders(sizes: Sizes) -> dict[str, ImageEncoder | TableEncoder]:
    image = ImageEncoder(3, sizes.image_size, **sizes.resnet)
    return {"image": image, "table": TableEncoder(sizes.cardinalities, sizes.n_numbers, **sizes.table)}


def cardiac_batch(sizes: Sizes, batch_size: int) -> dict[str, torch.Tensor]:
    """Draw images and tables of which nothing is missing."""
    categories = [torch.randint(0, n, (batch_size,)).float() for n in sizes.cardinalities]
    table = torch.cat([torch.stack(categories, 1), torch.randn(batch_size, sizes.n_numbers)], 1)
    coarse = torch.randn(batch_size, 3, 4, 4) * torch.rand(batch_size, 1, 1, 1) + torch.rand(batch_size, 1, 1, 1)
    image = F.interpolate(coarse, size=sizes.image_size, mode="bilinear")  # unlike noise, one differs from another
    return {"image": image, "table": table}


@torch.no_grad()
def _give_it_something_to_decide(case: Case) -> None:
    network, statistics = case.network, case.network.statistics
    for layer in (network.projection, network.classifier):  # centre and stretch what the class token says
        cls = _outputs_of(layer, case)
        layer.weight /= cls.std(0, correction=0).clamp_min(1e-6).unsqueeze(1)
        layer.bias.copy_(-(cls - layer.bias).mean(0) / cls.std(0, correction=0).clamp_min(1e-6))
    features = network(**case.complete, subsets=network.subsets).embedding  # (S, B, D)
    side = torch.randn(len(statistics.overall), features.shape[-1])
    label = (features.mean(0) @ side.T).argmax(-1)
    label[: len(side)] = torch.arange(len(side))  # no class is empty
    moments = statistics.new_moments()
    for subset, embedding in enumerate(features):
        moments.update(subset, embedding, label)
    statistics.fit(moments)
    if case.ics_weight == "ratio":  # what random tables add moves features far: wide classes keep similarities near 1
        statistics.std.fill_(100.0)
    else:
        statistics.std *= 4
    _balance(case)


def _balance(case: Case) -> None:
    """Move the overall prototype of class 0 until about half of the rewards are positive."""
    network, overall = case.network, case.network.statistics.overall
    bank = build_bank(network, case.complete, case.missing, case.recoveries)

    def decide(strategy: Strategy) -> Selection:
        form = ICSWeight(case.ics_weight)
        return select(network.fuse, bank, network.statistics, strategy=strategy, ics_weight=form)

    start = overall.clone()
    change = (decide(Strategy.FUSE_ALL).embedding - decide(Strategy.DISCARD).embedding).mean(0)

    def move(shift: float) -> float:
        """Move, and give how far the median reward is from zero, in standard deviations of rewards."""
        overall.copy_(start)
        overall[0] += shift * change  # the further, the likelier class 0 becomes with every fusion
        rewards = _rewards(decide(Strategy.GREEDY))
        return float(rewards.median().abs() / rewards.std().clamp_min(1e-9))

    best = min([0.0, *(sign * 2.0**power for power in range(-8, 3) for sign in (-1, 1))], key=move)
    for step in (1 / 16, 1 / 128):
        best = min([best, *(best * (1 + step * place) for place in range(-8, 9))], key=move)
    move(best)


def _rewards(selection: Selection) -> torch.Tensor:
    rewards = torch.cat([step.reward.flatten() for step in selection.trace.steps])
    return rewards[~rewards.isnan()]


def _outputs_of(layer: torch.nn.Module, case: Case) -> torch.Tensor:
    seen = []
    hook = layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    case.network(**case.complete, subsets=case.network.subsets[:32])
    hook.remove()
    return torch.cat(seen)
