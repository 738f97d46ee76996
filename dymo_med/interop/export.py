"""Networks of this package as checkpoints in the form that the authors publish."""

import io
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dymo_med.interop.checkpoint import Names, published_name
from dymo_med.interop.conversion import CLASSIFIER_NAMES, TIP_NAMES, small_names
from dymo_med.interop.settings import DISTANCES, OWN_SETTINGS
from dymo_med.missingness.subsets import enumerate_subsets
from dymo_med.networks.nets import TIP, MultimodalTransformer
from dymo_med.selection import ClassStatistics
from dymo_med.utils import Metric, atomic_path, save_weights

__all__ = ["export_published"]

_CLASSIFIER, _TIP, _LENGTHS = (
    "checkpoint_best_auc.ckpt",
    "checkpoint_last_epoch_499.ckpt",
    "tabular_lengths_reordered.pt",
)
_STATISTICS = {Metric.COSINE: "subset_gaussian.pt", Metric.SQUARED_EUCLIDEAN: "subset_gaussian_EU.pt"}


def export_published(
    network: MultimodalTransformer, folder: str | Path, *, recovery: TIP | None = None, dataset: str = "CAD"
) -> list[str]:
    """Write weights under the published names, as plain dictionaries of tensors.

    :func:`~dymo_med.interop.load_published` gives the same tensors back.

    Args:
        network: Classifier of the modalities ``image`` and ``table``, or one that was converted from small pictures.
        folder: Folder to write; files of the published names are replaced.
        recovery: TIP of the same table.
        dataset: Name of the data set in the settings, which the authors' code looks up.

    Returns:
        Names of the files written; class statistics are among them if they are fitted.

    Raises:
        ValueError: the published form has no place for a parameter of the network.
        OSError: the disk is full or the folder cannot be written.

    Example:
        >>> import tempfile
        >>> from dymo_med.interop import load_published
        >>> from dymo_med.networks.nets import ImageEncoder, TableEncoder
        >>> image = ImageEncoder(3, 32, block="basic", layers=[1] * 4, channels=[4, 4, 8, 8])
        >>> table = TableEncoder([2], 1, dim=8, n_blocks=1)
        >>> net = MultimodalTransformer({"image": image, "table": table}, 2, dim=8, embedding_dim=4)
        >>> folder = Path(tempfile.mkdtemp())
        >>> export_published(net, folder)
        ['checkpoint_best_auc.ckpt', 'tabular_lengths_reordered.pt']
        >>> model = load_published(folder / "checkpoint_best_auc.ckpt", field_lengths=folder / _LENGTHS)
        >>> torch.equal(model.network.pos_embeddings, net.pos_embeddings)
        True
    """
    folder = Path(folder)
    has_table = network.modalities == ("image", "table")
    names = CLASSIFIER_NAMES if has_table else _small_names(network)
    fusion: Any = network.transformer
    distance = next(published for published, metric in DISTANCES.items() if metric is network.metric)
    settings: dict[str, Any] = {
        "dataset_name": dataset,
        "modality_names": ["img", "tabular"] if has_table else list(network.modalities),
        "num_modalities": len(network.modalities),
        "num_classes": network.classifier.out_features,
        dataset: {
            "distance_metric": distance,
            "transformer_dim": network.cls_token.shape[-1],
            "transformer_heads": fusion[0].attn.n_heads,
            "transformer_layers": len(fusion),
            "projection_dim": network.projection.out_features,
        },
    }
    known = {name: getattr(network.statistics, name) for name in ("prevalence", "learned_prevalence")}
    if not any(bool(shares.isnan().any()) for shares in known.values()):
        settings[OWN_SETTINGS] = {name: shares.tolist() for name, shares in known.items()}
    save_weights(folder / _CLASSIFIER, {"state_dict": _state(network, names), "hyper_parameters": settings})
    written = [_CLASSIFIER]
    if bool(network.statistics.is_fitted):
        name = _STATISTICS[network.metric]
        save_weights(folder / name, _statistics(network.statistics))
        written.append(name)
    if has_table:
        table: Any = network.encoders["table"]
        lengths = [*table.cat_cardinalities, *[1] * table.n_num_features]
        _save_list(folder / _LENGTHS, lengths)
        written.append(_LENGTHS)
    if recovery is not None:
        content = {"state_dict": _state(recovery, TIP_NAMES), "hyper_parameters": _tip_settings(recovery)}
        save_weights(folder / _TIP, content)
        written.append(_TIP)
    return written


def _state(network: nn.Module, names: Names) -> dict[str, torch.Tensor]:
    named = {published_name(name, names): value for name, value in network.state_dict().items()}
    return {name: value for name, value in named.items() if name is not None}


def _small_names(network: MultimodalTransformer) -> Names:
    """Check that what published classifiers of small pictures do not have is not there, or says nothing."""
    if list(network.modalities) != [f"m{m}" for m in range(len(network.modalities))]:
        raise ValueError(
            f"modalities must be ('image', 'table') or ('m0', 'm1', ...), however: {network.modalities}: networks of "
            "other modalities have no published form"
        )
    projections: Any = network.projections
    for name, projection in projections.items():
        weight = projection.weight.detach().cpu()
        if not torch.equal(weight, torch.eye(len(weight))) or bool(projection.bias.any()):
            raise ValueError(
                f"projections of small pictures must be the identity, as published classifiers have none, however: "
                f"that of {name!r} is not, shape {tuple(weight.shape)}: a trained projection cannot be exported"
            )
    return small_names(len(network.modalities))


def _statistics(statistics: ClassStatistics) -> dict[str, Any]:
    members = enumerate_subsets(statistics.n_modalities).tolist()
    masks = {row: tuple(not inside for inside in subset) for row, subset in enumerate(members)}
    return {
        "prototypes": statistics.prototypes,
        "overall_prototypes": statistics.overall,
        "dist_std": statistics.std,
        "id2subset": masks,
        "subset2id": {mask: row for row, mask in masks.items()},
    }


def _tip_settings(tip: TIP) -> dict[str, Any]:
    """Give the settings that the authors' code reads to build TIP."""
    table, blocks = tip.encoder_tabular, list(tip.transformer_blocks)
    return {
        "model": "resnet50",
        "loss": "clip",
        "algorithm_name": "TIP",
        "checkpoint": None,
        "num_cat": len(table.cat_cardinalities),
        "num_con": table.n_num_features,
        "embedding_dim": tip.encoder_imaging.token_dim,
        "tabular_embedding_dim": table.token_dim,
        "tabular_transformer_num_layers": len(table.transformer_blocks),
        "multimodal_embedding_dim": table.token_dim,
        "multimodal_transformer_num_layers": len(blocks),
        "embedding_dropout": 0.0,
        "drop_rate": 0.0,
    }


def _save_list(path: Path, values: list[int]) -> None:
    content = io.BytesIO()
    torch.save(values, content)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())
