"""Engines that replay given outputs, small networks, and a disk that takes no more than so much."""

import contextlib
import resource

import torch
from ignite.engine import Engine

from dymo_med.networks.nets import MultimodalTransformer, TableEncoder
from dymo_med.selection import Fused


def replay(*handlers):
    """An engine whose output is the batch itself."""
    engine = Engine(lambda _, batch: batch)
    for handler in handlers:
        handler.attach(engine)
    return engine


def network(metric="cosine", n_classes=3, embedding_dim=4):
    """Two tables, each with a category and a number, so that there are three subsets."""
    encoders = {name: TableEncoder([2], 1, dim=8, n_blocks=1, n_heads=2) for name in ("labs", "vitals")}
    return MultimodalTransformer(
        encoders, n_classes, dim=8, n_blocks=1, n_heads=2, embedding_dim=embedding_dim, metric=metric
    )


def random_fused(generator, n_subsets, n_samples, n_classes, dim, nan_share=0.0):
    """Random predictions of which a share is nan, as for samples that lack the whole subset."""
    logits = torch.randn(n_subsets, n_samples, n_classes, generator=generator)
    embedding = torch.randn(n_subsets, n_samples, dim, generator=generator)
    gone = torch.rand(n_subsets, n_samples, 1, generator=generator) < nan_share
    return Fused(logits.masked_fill(gone, torch.nan), embedding.masked_fill(gone, torch.nan))


@contextlib.contextmanager
def disk_of(n_bytes):
    """No file grows beyond so many bytes: writing more fails as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
