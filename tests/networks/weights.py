"""Random arrays under the published parameter names, of any size, and the names that the package gives them."""

import itertools
from collections.abc import Sequence

import numpy as np
import torch

Arrays = dict[str, np.ndarray]


class Draw:
    """Random parameters; nothing is left at a neutral value (biases, norms, running statistics)."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.arrays: Arrays = {}

    def normal(self, name, *shape, scale=0.5):
        self.arrays[name] = self.rng.normal(size=shape) * scale

    def linear(self, name, n_out, n_in, bias=True):
        self.normal(f"{name}.weight", n_out, n_in, scale=1.5 / n_in**0.5)
        if bias:
            self.normal(f"{name}.bias", n_out, scale=0.3)

    def norm(self, name, dim):
        self.arrays[f"{name}.weight"] = self.rng.uniform(0.5, 1.5, dim)
        self.normal(f"{name}.bias", dim, scale=0.3)

    def batch_norm(self, name, dim):
        self.norm(name, dim)
        self.normal(f"{name}.running_mean", dim, scale=0.3)
        self.arrays[f"{name}.running_var"] = self.rng.uniform(0.5, 1.5, dim)
        self.arrays[f"{name}.num_batches_tracked"] = np.array(self.rng.integers(1, 1000))

    def conv(self, name, n_out, n_in, size, bias=False):
        self.normal(f"{name}.weight", n_out, n_in, size, size, scale=1.5 / (n_in * size * size) ** 0.5)
        if bias:
            self.normal(f"{name}.bias", n_out, scale=0.3)

    def resnet(self, prefix, layers, channels, bottleneck, in_channels=3):
        self.conv(f"{prefix}conv1", channels[0], in_channels, 7)
        self.batch_norm(f"{prefix}bn1", channels[0])
        width = channels[0]
        for stage, (n_blocks, inner) in enumerate(zip(layers, channels, strict=True), start=1):
            outer = inner * 4 if bottleneck else inner
            shapes = (
                [(inner, width, 1), (inner, inner, 3), (outer, inner, 1)]
                if bottleneck
                else [(inner, width, 3), (inner, inner, 3)]
            )
            for index in range(n_blocks):
                here = f"{prefix}layer{stage}.{index}."
                for number, (n_out, n_in, size) in enumerate(shapes, start=1):
                    n_in = outer if index and number == 1 else n_in
                    self.conv(f"{here}conv{number}", n_out, n_in, size)
                    self.batch_norm(f"{here}bn{number}", n_out)
                if index == 0 and (stage > 1 or width != outer):
                    self.conv(f"{here}downsample.0", outer, width, 1)
                    self.batch_norm(f"{here}downsample.1", outer)
            width = outer
        return width

    def block(self, prefix, dim, cross=False, ratio=4):
        self.norm(f"{prefix}norm1", dim)
        self.linear(f"{prefix}attn.qkv", 3 * dim, dim, bias=False)
        self.linear(f"{prefix}attn.proj", dim, dim)
        if cross:
            self.norm(f"{prefix}cross_norm", dim)
            self.linear(f"{prefix}cross_attn.q_proj", dim, dim)
            self.linear(f"{prefix}cross_attn.kv_proj", 2 * dim, dim, bias=False)
            self.linear(f"{prefix}cross_attn.proj", dim, dim)
        self.norm(f"{prefix}norm2", dim)
        self.linear(f"{prefix}mlp.fc1", ratio * dim, dim)
        self.linear(f"{prefix}mlp.fc2", dim, ratio * dim)

    def table(self, prefix, cardinalities, n_numbers, dim, n_blocks):
        self.normal(f"{prefix}cat_embedding.weight", sum(cardinalities), dim)
        self.linear(f"{prefix}con_proj", dim, 1)
        self.normal(f"{prefix}cls_token", 1, 1, dim)
        self.normal(f"{prefix}mask_special_token", 1, 1, dim)
        self.normal(f"{prefix}column_embedding.weight", 1 + len(cardinalities) + n_numbers, dim)
        self.norm(f"{prefix}norm", dim)
        for index in range(n_blocks):
            self.block(f"{prefix}transformer_blocks.{index}.", dim)

    def fusion(self, n_modalities, n_tokens, n_classes, dim, n_blocks, embedding_dim):
        for m in range(n_modalities):
            self.norm(f"m_norms.{m}", dim)
        for index in range(n_blocks):
            self.block(f"transformer.{index}.", dim)
        self.normal("cls_token", 1, 1, dim)
        self.normal("modality_embeddings.weight", n_modalities, dim)
        self.normal("pos_embeddings", 1, 1 + n_tokens, dim)
        self.linear("classifier", n_classes, dim)
        self.linear("projection", embedding_dim, dim)
        self.normal("prototypes", n_classes, embedding_dim)


CARDINALITIES = [2, 4, 3]
N_NUMBERS = 3
IMAGE_SIZE = 64
HEADS = {"table_heads": 2, "fusion_heads": 4}
TIP_HEADS = {"table_heads": 2, "tip_heads": 4}


def classifier_arrays(
    seed: int = 0, *, bottleneck=True, layers: Sequence[int] = (2, 1, 1, 1), cardinalities=CARDINALITIES
) -> Arrays:
    draw = Draw(seed)
    width = draw.resnet("m_encoders.img.", layers, (4, 4, 6, 8), bottleneck)
    draw.table("m_encoders.tabular.", cardinalities, N_NUMBERS, 12, 2)
    draw.linear("m_projection.img", 16, width)
    draw.linear("m_projection.tabular", 16, 12)
    n_tokens = (IMAGE_SIZE // 32) ** 2 + len(cardinalities) + N_NUMBERS
    draw.fusion(2, n_tokens, n_classes=3, dim=16, n_blocks=2, embedding_dim=6)
    return draw.arrays


def images_arrays(n_modalities: int, seed: int = 0) -> Arrays:
    draw = Draw(seed)
    for m in range(n_modalities):
        widths = (3, 4, 6, 8)
        for index, (n_in, n_out) in zip((0, 2, 4), itertools.pairwise(widths), strict=True):
            draw.conv(f"m_encoders.{m}.network.{index}", n_out, n_in, 3, bias=True)
        draw.conv(f"m_encoders.{m}.proj_conv.0", 8, 8, 1, bias=True)
    draw.fusion(n_modalities, 4 * n_modalities, n_classes=4, dim=8, n_blocks=2, embedding_dim=5)
    return draw.arrays


def tip_arrays(seed: int = 0, *, layers: Sequence[int] = (1, 1, 1, 1), cardinalities=CARDINALITIES) -> Arrays:
    """What is needed to recover; heads of pre-training under the names of the package come from :func:`tip_heads`."""
    draw = Draw(seed)
    width = draw.resnet("encoder_imaging.", layers, (4, 4, 6, 8), bottleneck=True)
    draw.table("encoder_tabular.", cardinalities, N_NUMBERS, 12, 2)
    draw.linear("encoder_multimodal.image_proj", 12, width)
    draw.norm("encoder_multimodal.image_norm", 12)
    for index in range(2):
        draw.block(f"encoder_multimodal.transformer_blocks.{index}.", 12, cross=True)
    draw.norm("encoder_multimodal.norm", 12)
    draw.linear("predictor_tabular.cat_classifier", sum(cardinalities), 12)
    draw.linear("predictor_tabular.con_regressor", 1, 12)
    return draw.arrays


def tip_heads(width: int = 32, dim: int = 12, projection_dim: int = 7, seed: int = 9) -> Arrays:
    """Two-layer projection heads and the matching head, as the package names them."""
    draw = Draw(seed)
    for name, n_in in (("projector_imaging", width), ("projector_tabular", dim)):
        draw.linear(f"{name}.0", n_in, n_in)
        draw.linear(f"{name}.2", projection_dim, n_in)
    draw.linear("itm_head", 2, dim)
    return draw.arrays


OWN_NAMES = {
    "m_encoders.img.": "encoders.image.network.",
    "m_encoders.tabular.": "encoders.table.",
    "m_norms.0.": "norms.image.",
    "m_norms.1.": "norms.table.",
    "m_projection.img.": "projections.image.",
    "m_projection.tabular.": "projections.table.",
    "encoder_imaging.": "encoder_imaging.network.",
    "encoder_multimodal.": "",
    "predictor_tabular.": "",
}


def own_name(name: str) -> str:
    for published, own in OWN_NAMES.items():
        if name.startswith(published):
            return own + name[len(published) :]
    return name


def load_arrays(network: torch.nn.Module, arrays: Arrays) -> torch.nn.Module:
    """Put published arrays into a network of the package, in float64 and evaluation mode; every parameter is set."""
    state = {own_name(name): torch.as_tensor(value) for name, value in arrays.items()}
    result = network.double().load_state_dict(state, strict=False)
    assert not result.unexpected_keys
    missing = {key for key in result.missing_keys if not key.startswith("statistics.")}
    assert {key.rpartition(".")[2] for key in missing} <= {"schema_digest"}
    return network.eval()
