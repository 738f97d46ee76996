"""Converted weights as files for a bundle."""

from pathlib import Path
from typing import Any

import yaml

from dymo_med.interop.conversion import PublishedModel
from dymo_med.networks.nets import ConvEncoder
from dymo_med.tabular import TabularSchema
from dymo_med.utils import as_digest, save_weights, write_text

__all__ = ["write_published"]

_MODEL, _TIP, _SCHEMA, _OVERLAY = "model.pt", "tip.pt", "schema.json", "published.yaml"
_HEADER = "# Overlay, the last in the list of configuration files: predict with converted published weights.\n"


def write_published(model: PublishedModel, folder: str | Path, schema: TabularSchema | None = None) -> list[str]:
    """Write a converted model so that a bundle's configurations predict with it.

    ``model.pt`` holds the classifier with its class statistics, ``tip.pt`` the recovery, ``schema.json`` the table, and
    ``published.yaml`` an overlay for the configurations of ``bundles/ukbb_cardiac_cad_classification``. For classifiers
    of small pictures, which have no bundle, the overlay defines the network itself.

    Args:
        model: What :func:`~dymo_med.interop.load_published` gave.
        folder: Folder to write; files of these names are replaced.
        schema: Schema of the table, if means and standard deviations are known.

    Returns:
        Names of the files written.

    Raises:
        ValueError: the schema has other columns than the model.
        OSError: the disk is full or the folder cannot be written.
    """
    folder = Path(folder).resolve()
    if schema is not None:
        _check_schema(model, schema)
        _sign(model, schema)
    save_weights(folder / _MODEL, model.network.state_dict())
    written = [_MODEL]
    if model.recovery is not None:
        save_weights(folder / _TIP, model.recovery.network.state_dict())
        written.append(_TIP)
    if schema is not None:
        schema.to_json(folder / _SCHEMA)
        written.append(_SCHEMA)
    content = yaml.safe_dump(_overlay(model, folder), sort_keys=False, default_flow_style=None)
    write_text(folder / _OVERLAY, _HEADER + content)
    return [*written, _OVERLAY]


def _overlay(model: PublishedModel, folder: Path) -> dict[str, Any]:
    network = model.network
    overlay: dict[str, Any] = {
        "model_file": str(folder / _MODEL),
        "metric": network.metric.value,
        "ics_weight": model.ics_weight.value,
        "decoding": model.decoding.value,
    }
    n_classes = network.classifier.out_features
    if n_classes != 2 or not model.sizes:
        overlay["class_names"] = [f"class {number}" for number in range(n_classes)]
    if not model.sizes:
        return overlay | {"network_def": _small_definition(model)}
    overlay["sizes"] = model.sizes
    if model.recovery is None:
        return overlay | {"recoveries": []}
    return overlay | {"tip_file": str(folder / _TIP)}


def _small_definition(model: PublishedModel) -> dict[str, Any]:
    network, fusion = model.network, list(model.network.transformer)
    first: Any = fusion[0]
    return {
        "_target_": "dymo_med.networks.nets.MultimodalTransformer",
        "encoders": {name: _small_encoder(encoder) for name, encoder in network.encoders.items()},
        "n_classes": network.classifier.out_features,
        "dim": network.cls_token.shape[-1],
        "n_blocks": len(fusion),
        "n_heads": first.attn.n_heads,
        "embedding_dim": network.projection.out_features,
        "metric": "@metric",
    }


def _small_encoder(encoder: Any) -> dict[str, Any]:
    convolutions = [layer for layer in encoder.network if hasattr(layer, "out_channels")]
    return {
        "_target_": f"dymo_med.networks.nets.{ConvEncoder.__name__}",
        "in_channels": encoder.input_shape[0],
        "image_size": encoder.input_shape[1],
        "channels": [layer.out_channels for layer in convolutions],
    }


def _sign(model: PublishedModel, schema: TabularSchema) -> None:
    """Record in the weights which schema they belong to."""
    digest = as_digest("schema_digest", schema.digest)
    encoders: Any = model.network.encoders
    encoders["table"].schema_digest.copy_(digest)
    if model.recovery is not None:
        model.recovery.network.encoder_tabular.schema_digest.copy_(digest)


def _check_schema(model: PublishedModel, schema: TabularSchema) -> None:
    encoders: Any = model.network.encoders
    table = encoders["table"] if "table" in model.network.modalities else None
    wanted = None if table is None else ([*table.cat_cardinalities], table.n_num_features)
    found = (schema.cat_cardinalities, schema.n_num_features)
    if found != wanted:
        raise ValueError(
            f"the schema must have the columns of the model, however: (categories, continuous columns) {found} and "
            f"{wanted}: pass the schema of the same table"
        )
