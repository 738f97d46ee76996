"""A tiny network of two classes, its recoveries, and batches with natural gaps."""

import pytest
import torch

from dymo_med.evaluation.sweep import Mechanism
from dymo_med.inferers import Policy
from dymo_med.networks.nets import TIP, ImageEncoder, MultimodalTransformer, TableEncoder
from dymo_med.recovery import MeanModeRecovery, TIPRecovery

CARDINALITIES, N_NUMBERS = [2, 3, 4], 5
N_COLUMNS = len(CARDINALITIES) + N_NUMBERS
POLICIES = {
    "discard": Policy("discard"),
    "fuse_all": Policy("fuse_all"),
    "greedy": Policy("greedy"),
    "greedy_ratio": Policy("greedy", "ratio", 0.01),
}
MECHANISMS = {
    "random value": Mechanism("table", "value"),
    "random column": Mechanism("table", "column"),
    "important first": Mechanism("table", "ranked", order=[3, 1, 0, 2, 4, 5, 6, 7]),
    "device": Mechanism("table", "block", families={"labs": [0, 4], "watch": [5, 6]}),
    "whole table": Mechanism("table", "table"),
    "whole image": Mechanism("image", "table"),
}


def encoders():
    image = ImageEncoder(1, 32, block="basic", layers=[1] * 4, channels=[2, 2, 4, 4])
    return image, TableEncoder(CARDINALITIES, N_NUMBERS, dim=8, n_blocks=1, n_heads=2)


def rows(n, seed):
    generator = torch.Generator().manual_seed(seed)
    codes = [torch.randint(0, size, (n, 1), generator=generator).float() for size in CARDINALITIES]
    return torch.cat([*codes, torch.randn(n, N_NUMBERS, generator=generator)], dim=1)


def subjects(n, seed=1):
    """Subjects with some gaps; the last one lacks everything."""
    generator = torch.Generator().manual_seed(seed)
    table_missing = torch.rand(n, N_COLUMNS, generator=generator) < 0.1
    table_missing[: n // 3] = False
    image_missing = torch.rand(n, generator=generator) < 0.2
    table_missing[-1], image_missing[-1] = True, True
    label = (torch.arange(n) % 3 == 0).long()
    return {
        "subject_id": [f"s{number:03d}" for number in range(n)],
        "label": label,
        "image": torch.randn(n, 1, 32, 32, generator=generator) + label.view(-1, 1, 1, 1),
        "image_missing": image_missing,
        "table": rows(n, seed) + label.unsqueeze(1) * (torch.arange(N_COLUMNS) >= 3),
        "table_missing": table_missing,
    }


def batches(everybody, size):
    n = len(everybody["subject_id"])
    return [{name: values[at : at + size] for name, values in everybody.items()} for at in range(0, n, size)]


@pytest.fixture(scope="session")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        image, table = encoders()
        net = MultimodalTransformer({"image": image, "table": table}, 2, dim=16, n_heads=2, embedding_dim=6).eval()
        for parameter in net.parameters():
            parameter.data.add_(0.2 * torch.randn_like(parameter))
    everybody = subjects(40, seed=9)
    missing = torch.zeros(40, dtype=torch.bool)
    with torch.no_grad():
        z = net(everybody["image"], everybody["table"], missing, missing, subsets=net.subsets).embedding
    for k in range(2):
        net.statistics.prototypes[:, k] = z[:, everybody["label"] == k].mean(1)
    net.statistics.std.copy_((1 - torch.einsum("sbd,sd->sb", z, z.mean(1))).square().mean(1).sqrt().unsqueeze(1))
    net.statistics.overall.copy_(net.statistics.prototypes.mean(0))
    net.statistics.is_fitted.fill_(True)
    return net


@pytest.fixture(scope="session")
def tip(network):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        image, table = encoders()
        return TIPRecovery(TIP(image, table, n_blocks=1, n_heads=2, projection_dim=4))


@pytest.fixture(scope="session")
def mean_mode():
    recovery = MeanModeRecovery("table", CARDINALITIES, N_NUMBERS)
    recovery.fit(rows(50, 7), torch.zeros(50, N_COLUMNS, dtype=torch.bool))
    return recovery
