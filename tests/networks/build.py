"""Small networks with the arrays of :mod:`tests.networks.weights`, and batches with mixed missingness."""

import numpy as np
import torch

from dymo_med.networks.nets import TIP, ConvEncoder, ImageEncoder, MultimodalTransformer, TableEncoder
from tests.networks import weights

MIXED = [(True, "whole"), (True, "none"), (False, "whole"), (True, "part"), (False, "part"), (True, "part")]
"""(image is there, what is there of the table), one pair a sample."""


def image_encoder(bottleneck=True, layers=(2, 1, 1, 1)):
    block = "bottleneck" if bottleneck else "basic"
    return ImageEncoder(3, weights.IMAGE_SIZE, block=block, layers=layers, channels=(4, 4, 6, 8))


def table_encoder():
    return TableEncoder(weights.CARDINALITIES, weights.N_NUMBERS, dim=12, n_blocks=2, n_heads=2)


def new_classifier(metric="cosine", bottleneck=True, layers=(2, 1, 1, 1)):
    return MultimodalTransformer(
        {"image": image_encoder(bottleneck, layers), "table": table_encoder()},
        n_classes=3,
        dim=16,
        n_blocks=2,
        n_heads=4,
        embedding_dim=6,
        metric=metric,
    )


def classifier(metric="cosine", bottleneck=True, seed=0):
    arrays = weights.classifier_arrays(seed, bottleneck=bottleneck)
    return weights.load_arrays(new_classifier(metric, bottleneck), arrays), arrays


def images_classifier(n_modalities, metric="cosine"):
    arrays = weights.images_arrays(n_modalities)
    encoders = {f"m{m}": ConvEncoder(3, 28, channels=(4, 6, 8)) for m in range(n_modalities)}
    network = MultimodalTransformer(encoders, 4, dim=8, n_blocks=2, n_heads=2, embedding_dim=5, metric=metric)
    named = {}
    for name, value in arrays.items():
        head, _, rest = name.partition(".")
        own = {"m_encoders": "encoders.m", "m_norms": "norms.m"}.get(head)
        named[f"{own}{rest}" if own else name] = value
    for m in range(n_modalities):  # tokens of the small encoders are as wide as the fused ones already
        named[f"projections.m{m}.weight"], named[f"projections.m{m}.bias"] = np.eye(8), np.zeros(8)
    return weights.load_arrays(network, named), arrays


def tip(decoding="column", seed=1):
    arrays = weights.tip_arrays(seed)
    network = TIP(
        image_encoder(layers=(1, 1, 1, 1)), table_encoder(), n_blocks=2, n_heads=4, projection_dim=7, decoding=decoding
    )
    return weights.load_arrays(network, {**arrays, **weights.tip_heads()}), arrays


def fit_statistics(network, seed=5):
    """Set random class statistics of a plausible size."""
    generator = torch.Generator().manual_seed(seed)
    statistics = network.statistics
    shape = statistics.prototypes.shape
    statistics.prototypes.copy_(torch.randn(shape, generator=generator, dtype=torch.float64) * 0.6)
    statistics.std.copy_(torch.rand(shape[:2], generator=generator, dtype=torch.float64) + 0.5)
    statistics.overall.copy_(statistics.prototypes.mean(0))
    statistics.is_fitted.fill_(True)
    shares = torch.rand(shape[1], generator=generator, dtype=torch.float64) + 0.5
    statistics.set_prevalence((shares / shares.sum()).tolist(), [1 / shape[1]] * shape[1])
    return network


def rows(n, seed=3):
    rng = np.random.default_rng(seed)
    codes = [rng.integers(0, cardinality, n) for cardinality in weights.CARDINALITIES]
    return np.column_stack([*codes, *rng.normal(size=(weights.N_NUMBERS, n))]).astype(np.float64)


def images(n, seed=4, size=weights.IMAGE_SIZE):
    return np.random.default_rng(seed).normal(size=(n, 3, size, size))


def batch(kinds=MIXED, seed=6):
    """Inputs of a classifier by name, float64; what is missing holds nan."""
    rng = np.random.default_rng(seed)
    n, n_columns = len(kinds), len(weights.CARDINALITIES) + weights.N_NUMBERS
    image_missing = np.array([not there for there, _ in kinds])
    table_missing = np.zeros((n, n_columns), dtype=bool)
    for index, (_, table) in enumerate(kinds):
        if table == "none":
            table_missing[index] = True
        if table == "part":
            table_missing[index, rng.permutation(n_columns)[: 2 + index % 3]] = True
    image, table = images(n), rows(n)
    image[image_missing] = np.nan
    table[table_missing] = np.nan
    values = {"image": image, "table": table, "image_missing": image_missing, "table_missing": table_missing}
    return {name: torch.as_tensor(value) for name, value in values.items()}


def take(inputs, index):
    return {name: value[index] for name, value in inputs.items()}


def count_passes(module):
    """Count the rows that go through a module; the list grows by one entry a call."""
    seen = []
    module.register_forward_hook(lambda _module, arguments, _output: seen.append(len(arguments[0])))
    return seen
