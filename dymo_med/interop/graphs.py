"""A classifier as graphs that run without this package: ``torch.export`` programs and ONNX files."""

import copy
import warnings
from enum import StrEnum
from pathlib import Path
from typing import cast

import torch
from torch import nn

from dymo_med.networks.nets import ModalityEncoder, MultimodalTransformer
from dymo_med.selection import Tokens
from dymo_med.utils import as_choice, atomic_path

__all__ = ["GraphFormat", "export_graphs"]


class GraphFormat(StrEnum):
    """Form of an exported graph: a program of ``torch.export``, or ONNX (extra ``onnx``)."""

    PT2 = "pt2"
    ONNX = "onnx"


def export_graphs(network: MultimodalTransformer, folder: str | Path, *, form: str = "pt2") -> list[Path]:
    """Write one graph that encodes each modality and one that fuses, all for any batch size.

    Together they are all of the network that selection needs; class statistics stay in the checkpoint.

    - ``encode_<modality>``: inputs ``x`` (B, ...) and ``missing`` (B, P); output ``values`` (B, P, E). What stands in
      missing entries is not read.
    - ``fuse``: inputs ``<modality>_values`` (B, P, E) of all modalities in order, then ``<modality>_missing`` (B, P);
      outputs ``logits`` (B, K) and ``embedding`` (B, D). A modality whose mask is all True is absent.

    Unlike the network in Python, a graph computes absent samples and hidden tokens too.

    Args:
        network: Classifier with its weights, on the CPU; it may have been prepared for inference in float32.
        folder: Where the files go.
        form: ``"pt2"``, to be loaded with ``torch.export.load``, or ``"onnx"``.

    Returns:
        The files: one for each modality, then that of the fusion.

    Raises:
        ValueError: ``form`` is unknown.
        ImportError: ONNX is asked for and its packages are not installed.

    Example:
        >>> import tempfile
        >>> from dymo_med.networks.nets import TableEncoder
        >>> encoders = {"labs": TableEncoder([2], 1, dim=8, n_blocks=1, n_heads=2)}
        >>> net = MultimodalTransformer(encoders, n_classes=2, dim=8, n_heads=2, embedding_dim=4)
        >>> [path.name for path in export_graphs(net, tempfile.mkdtemp())]
        ['encode_labs.pt2', 'fuse.pt2']
    """
    chosen, folder = as_choice("form", form, GraphFormat), Path(folder)
    inputs = {name: _example(network, name) for name in network.modalities}
    paths, values = [], []
    for name, example in inputs.items():
        graph = _Encode(_part(network, encoder=name), name)
        paths.append(_write(graph, example, folder / f"encode_{name}.{chosen}", ["x", "missing"], ["values"]))
        values.append(graph(*example).detach())
    names = [f"{name}_{part}" for part in ("values", "missing") for name in inputs]
    parts = (*values, *(missing for _, missing in inputs.values()))
    paths.append(_write(_Fuse(_part(network)), parts, folder / f"fuse.{chosen}", names, ["logits", "embedding"]))
    return paths


class _Encode(nn.Module):
    """``encode`` of one modality, every sample computed."""

    def __init__(self, network: MultimodalTransformer, name: str) -> None:
        super().__init__()
        self.network = network
        self.name = name

    def forward(self, x: torch.Tensor, missing: torch.Tensor) -> torch.Tensor:
        """Encode one modality to the tokens that fusion takes, (B, P, E)."""
        encoder = cast(ModalityEncoder, self.network.encoders[self.name])
        return self.network.project(self.name, encoder(encoder.clean(x, missing), missing), missing).values


class _Fuse(nn.Module):
    """``fuse`` of all modalities, every token computed."""

    def __init__(self, network: MultimodalTransformer) -> None:
        super().__init__()
        self.network = network

    def forward(self, *parts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Fuse token values, then masks, of all modalities to logits (B, K) and features (B, D)."""
        n = len(self.network.modalities)
        pairs = zip(self.network.modalities, parts[:n], parts[n:], strict=True)
        fused = self.network.fuse_static({name: Tokens(values, missing) for name, values, missing in pairs})
        return fused.logits, fused.embedding


def _part(network: MultimodalTransformer, encoder: str | None = None) -> MultimodalTransformer:
    """Copy what one graph needs: a single encoder, or the fusion; a graph would keep all other weights with it."""
    part = copy.deepcopy(network).eval().requires_grad_(False)
    for group in (part.encoders, part.projections, part.norms):
        for name in network.modalities:
            if name != encoder:
                del group[name]
    if encoder is not None:
        part.transformer = nn.ModuleList()
    return part


def _example(network: MultimodalTransformer, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Give content and mask of a batch of two."""
    encoder = cast(ModalityEncoder, network.encoders[name])
    x = network.cls_token.new_zeros(2, *encoder.input_shape)
    return x, torch.zeros(2, encoder.n_tokens, dtype=torch.bool)


@torch.no_grad()
def _write(
    graph: nn.Module, example: tuple[torch.Tensor, ...], path: Path, inputs: list[str], outputs: list[str]
) -> Path:
    batch = torch.export.Dim("batch")
    shapes = tuple({0: batch} for _ in example)
    with warnings.catch_warnings(), atomic_path(path) as temporary:
        warnings.simplefilter("ignore", FutureWarning)  # torch's exporter uses functions that torch has deprecated
        program = torch.export.export(
            graph, example, dynamic_shapes=(shapes,) if isinstance(graph, _Fuse) else shapes, strict=False
        )
        if path.suffix == f".{GraphFormat.PT2}":
            torch.export.save(program, temporary)
        else:
            converted = torch.onnx.export(program, dynamo=True, input_names=inputs, output_names=outputs, verbose=False)
            if converted is None:
                raise RuntimeError(f"ONNX conversion of {path.name} must give a program, however: {converted}")
            converted.save(temporary, external_data=False)
    return path
