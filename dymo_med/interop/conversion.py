"""Published weights as networks that predict."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dymo_med.interop.checkpoint import Checkpoint, Names, published_name
from dymo_med.interop.encoders import (
    read_field_lengths,
    small_encoder,
    square_side,
    table_encoder,
    whole_image_encoder,
)
from dymo_med.interop.settings import (
    heads_of_training,
    metric_of_training,
    prevalence_of_training,
    usual_ics_weight,
)
from dymo_med.interop.sizes import bundle_sizes
from dymo_med.interop.statistics import load_statistics
from dymo_med.networks.nets import TIP, ModalityEncoder, MultimodalTransformer
from dymo_med.recovery.tip import TIPRecovery
from dymo_med.utils import ICSWeight, TableDecoding, as_choice

__all__ = ["CLASSIFIER_NAMES", "TIP_HEADS", "TIP_NAMES", "PublishedModel", "load_published", "small_names"]

CLASSIFIER_NAMES: Names = (
    ("encoders.image.network.", "m_encoders.img."),
    ("encoders.table.schema_digest", None),
    ("encoders.table.", "m_encoders.tabular."),
    ("norms.image.", "m_norms.0."),
    ("norms.table.", "m_norms.1."),
    ("projections.image.", "m_projection.img."),
    ("projections.table.", "m_projection.tabular."),
    ("statistics.", None),
)
TIP_NAMES: Names = (
    ("encoder_imaging.network.", "encoder_imaging."),
    ("encoder_tabular.schema_digest", None),
    ("encoder_tabular.", "encoder_tabular."),
    ("image_proj.", "encoder_multimodal.image_proj."),
    ("image_norm.", "encoder_multimodal.image_norm."),
    ("transformer_blocks.", "encoder_multimodal.transformer_blocks."),
    ("norm.", "encoder_multimodal.norm."),
    ("cat_classifier.", "predictor_tabular.cat_classifier."),
    ("con_regressor.", "predictor_tabular.con_regressor."),
    ("projector_imaging.", "projector_imaging.layers."),
    ("projector_tabular.", "projector_tabular.layers."),
)
TIP_HEADS = ("projector_imaging.", "projector_tabular.", "itm_head.")
"""Parts of TIP that pre-training alone uses."""


@dataclass(frozen=True)
class PublishedModel:
    """A converted classifier with what its use needs.

    Args:
        network: The classifier in evaluation mode, with class statistics if they were given.
        recovery: TIP in evaluation mode, None if it was not given.
        ics_weight: Form of the weight by intra-class similarity that the authors use with it.
        decoding: How the recovery reads categories.
        sizes: Sizes of networks by the names that the bundle configurations give them; empty without a table.
        unused: Per input file the entries that are known and not needed.
    """

    network: MultimodalTransformer
    recovery: TIPRecovery | None
    ics_weight: ICSWeight
    decoding: TableDecoding
    sizes: dict[str, Any]
    unused: dict[str, list[str]]


def load_published(
    classifier: str | Path,
    *,
    statistics: str | Path | None = None,
    recovery: str | Path | None = None,
    field_lengths: str | Path | None = None,
    metric: str | None = None,
    fusion_heads: int | None = None,
    table_heads: int = 8,
    tip_heads: int = 8,
    decoding: str = "global",
    small_image_size: int = 28,
) -> PublishedModel:
    """Load published weights of DyMo, and of TIP, as networks ready to be called.

    Sizes are read from the parameters; nothing in the files is executed. Source: METHOD sections 2, 6, 7 and 8.

    Args:
        classifier: Checkpoint of the classifier (``checkpoint_best_auc.ckpt``): image and table, or one small picture a
            modality.
        statistics: Class statistics of the same training (``subset_gaussian.pt``); without them only the strategies
            discard and fuse_all predict.
        recovery: Checkpoint of TIP (``checkpoint_last_epoch_499.ckpt``).
        field_lengths: Number of categories of each column (``tabular_lengths_reordered.pt``); needed with a table.
        metric: ``"cosine"`` or ``"squared_euclidean"``; None takes what the checkpoint says.
        fusion_heads: Heads of the fusion blocks; None takes what the checkpoint says. Parameters do not tell heads.
        table_heads: Heads of the table encoders; 8 in all published models.
        tip_heads: Heads of TIP's multimodal Transformer; 8 in all published models.
        decoding: How recovered categories are read; ``"global"`` reproduces published results.
        small_image_size: Edge length of the small pictures in pixels; 28 as published.

    Returns:
        The networks; their modalities are named ``image`` and ``table``, or ``m0``, ``m1``, ...

    Raises:
        FileNotFoundError: a file is absent.
        ValueError: a file is refused or does not fit the others; the text names file and entry.

    Example:
        >>> try:
        ...     load_published("checkpoint_best_auc.ckpt")
        ... except FileNotFoundError as err:
        ...     print(err)
        no file checkpoint_best_auc.ckpt: download it from its authors or correct the path
    """
    checkpoint = Checkpoint(classifier)
    chosen_metric = metric_of_training(checkpoint, metric)
    heads = heads_of_training(checkpoint, fusion_heads)
    lengths = None if field_lengths is None else read_field_lengths(field_lengths)
    names, encoders = _encoders(checkpoint, lengths, table_heads, small_image_size)
    network = MultimodalTransformer(
        encoders,
        checkpoint.shape("classifier.weight")[0],
        dim=checkpoint.shape("cls_token")[-1],
        n_blocks=checkpoint.count("transformer."),
        n_heads=heads,
        embedding_dim=checkpoint.shape("projection.weight")[0],
        metric=chosen_metric,
    )
    checkpoint.fill(network, names)
    if shares := prevalence_of_training(checkpoint):
        network.statistics.set_prevalence(**shares)
    if "table" not in encoders:
        _repair_small(network)
    unused = {checkpoint.name: checkpoint.unused}
    if statistics is not None:
        unused[Path(statistics).name] = load_statistics(statistics, network.statistics)
    how = as_choice("decoding", decoding, TableDecoding)
    sizes = bundle_sizes(network) if "table" in encoders else {}
    tip = None
    if recovery is not None:
        if not sizes:
            raise ValueError(
                f"a recovery by TIP needs an image and a table, however: {checkpoint.name} has {list(encoders)}: leave "
                "it out"
            )
        image_size = encoders["image"].input_shape[-1]
        tip, unused_of_tip = _load_tip(recovery, lengths, image_size, table_heads, tip_heads, how)
        unused[Path(recovery).name] = unused_of_tip
        _check_same_image(network, tip)
        sizes = bundle_sizes(network, tip)
    return PublishedModel(
        network=network.eval(),
        recovery=None if tip is None else TIPRecovery(tip.eval()),
        ics_weight=usual_ics_weight(checkpoint, chosen_metric),
        decoding=how,
        sizes=sizes,
        unused=unused,
    )


def small_names(n_modalities: int) -> Names:
    """Name the parameters of a classifier of small pictures; its tokens need no projection.

    Example:
        >>> small_names(1)[0]
        ('encoders.m0.', 'm_encoders.0.')
    """
    names: list[tuple[str, str | None]] = []
    for m in range(n_modalities):
        names += [(f"encoders.m{m}.", f"m_encoders.{m}."), (f"norms.m{m}.", f"m_norms.{m}.")]
    return (*names, ("projections.", None), ("statistics.", None))


def _encoders(
    checkpoint: Checkpoint, lengths: tuple[int, ...] | None, table_heads: int, small_image_size: int
) -> tuple[Names, Mapping[str, ModalityEncoder]]:
    n_tokens = checkpoint.shape("pos_embeddings")[1] - 1
    if checkpoint.below("m_encoders.img."):
        table = table_encoder(checkpoint, "m_encoders.tabular.", lengths, table_heads)
        side = square_side(n_tokens - table.n_tokens, checkpoint.name)
        image = whole_image_encoder(checkpoint, "m_encoders.img.", 32 * side)
        return CLASSIFIER_NAMES, {"image": image, "table": table}
    if not checkpoint.below("m_encoders.0.network."):
        found = sorted({".".join(name.split(".")[:3]) for name in checkpoint.below("m_encoders.")})[:4]
        raise ValueError(
            f"{checkpoint.name} must be a classifier of image and table or of small pictures, however: it has "
            f"{found}: other published models are not converted"
        )
    n_modalities = checkpoint.count("m_encoders.")
    small = {f"m{m}": small_encoder(checkpoint, f"m_encoders.{m}.", small_image_size) for m in range(n_modalities)}
    return small_names(n_modalities), small


@torch.no_grad()
def _repair_small(network: MultimodalTransformer) -> None:
    """Make up for what published classifiers of small pictures have otherwise (METHOD section 8)."""
    for projection in network.projections.values():
        if not isinstance(projection, torch.nn.Linear) or projection.in_features != projection.out_features:
            raise ValueError(
                f"tokens of small pictures must be as wide as fused ones, however: {projection}: pass a published "
                "classifier"
            )
        torch.nn.init.eye_(projection.weight)
        torch.nn.init.zeros_(projection.bias)
    if len(network.modalities) > 2:  # trained with row 1 for every modality but the first
        network.modality_embeddings.weight[2:] = network.modality_embeddings.weight[1]


def _load_tip(
    path: str | Path,
    lengths: tuple[int, ...] | None,
    image_size: int,
    table_heads: int,
    tip_heads: int,
    decoding: TableDecoding,
) -> tuple[TIP, list[str]]:
    checkpoint = Checkpoint(path)
    last = "projector_tabular.layers.2.weight"
    tip = TIP(
        whole_image_encoder(checkpoint, "encoder_imaging.", image_size),
        table_encoder(checkpoint, "encoder_tabular.", lengths, table_heads),
        n_blocks=checkpoint.count("encoder_multimodal.transformer_blocks."),
        n_heads=tip_heads,
        projection_dim=checkpoint.shape(last)[0] if last in checkpoint else 128,
        decoding=decoding,
    )
    heads = [name for name in tip.state_dict() if name.startswith(TIP_HEADS)]
    found = {name for beginning in TIP_HEADS for name in checkpoint.below(beginning)}
    is_usable = found == {published_name(name, TIP_NAMES) for name in heads}
    unused = () if is_usable else TIP_HEADS
    checkpoint.fill(tip, TIP_NAMES, unused=unused, zeroed=() if is_usable else heads)
    return tip, [*checkpoint.unused, *sorted({name.split(".")[0] for name in found if not is_usable})]


def _check_same_image(network: MultimodalTransformer, tip: TIP) -> None:
    own, other = network.encoders["image"].input_shape, tip.encoder_imaging.input_shape
    if own != other:
        raise ValueError(
            f"classifier and recovery must read images of one shape, however: {own} and {other}: pass checkpoints of "
            "the same data set"
        )
