"""The networks of the method as plain float64 equations, one sample at a time.

Written from the published description of the method alone. Parameters are a dictionary of arrays under the published
names; nothing here is imported from the package under test.

Conventions
    Samples come without a batch axis: an image is (C, X, Y), a row of a table (F,), a mask (F,) with True = missing.
    ``part(arrays, "a.b.")`` gives the parameters below a name, without that name.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import erf

Arrays = Mapping[str, np.ndarray]
EPSILON = 1e-5
HIDDEN_KEY = -1e9


def part(arrays: Arrays, prefix: str) -> dict[str, np.ndarray]:
    return {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}


def count(arrays: Arrays, prefix: str) -> int:
    """How many numbered children a name has."""
    return len({name[len(prefix) :].split(".")[0] for name in arrays if name.startswith(prefix)})


# --- elementary operations


def linear(x, p: Arrays, name: str):
    out = x @ p[f"{name}.weight"].T
    return out + p[f"{name}.bias"] if f"{name}.bias" in p else out


def layer_norm(x, p: Arrays, name: str):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + EPSILON) * p[f"{name}.weight"] + p[f"{name}.bias"]


def gelu(x):
    return x * 0.5 * (1 + erf(x / math.sqrt(2)))


def softmax(x):
    exponentials = np.exp(x - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def convolve(x, weight, stride: int, padding: int, bias=None):
    """Cross-correlation of (C, X, Y) with (O, C, k, k)."""
    size = weight.shape[-1]
    padded = np.pad(x, [(0, 0), (padding, padding), (padding, padding)])
    height, width = ((n - size) // stride + 1 for n in padded.shape[1:])
    out = np.zeros((len(weight), height, width))
    for i in range(size):
        for j in range(size):
            window = padded[:, i : i + stride * height : stride, j : j + stride * width : stride]
            out += np.einsum("oc,cxy->oxy", weight[:, :, i, j], window)
    return out if bias is None else out + bias[:, None, None]


def max_pool(x, size: int, stride: int, padding: int):
    padded = np.pad(x, [(0, 0), (padding, padding), (padding, padding)], constant_values=-np.inf)
    height, width = ((n - size) // stride + 1 for n in padded.shape[1:])
    windows = [
        padded[:, i : i + stride * height : stride, j : j + stride * width : stride]
        for i in range(size)
        for j in range(size)
    ]
    return np.max(windows, axis=0)


def batch_norm(x, p: Arrays, name: str):
    shift = p[f"{name}.running_mean"][:, None, None]
    scale = np.sqrt(p[f"{name}.running_var"] + EPSILON)[:, None, None]
    return (x - shift) / scale * p[f"{name}.weight"][:, None, None] + p[f"{name}.bias"][:, None, None]


# --- encoders


def resnet(x, p: Arrays):
    """Last feature map; bottleneck blocks where there is a third convolution."""
    x = np.maximum(batch_norm(convolve(x, p["conv1.weight"], 2, 3), p, "bn1"), 0)
    x = max_pool(x, 3, 2, 1)
    for stage in range(1, 5):
        for index in range(count(p, f"layer{stage}.")):
            stride = 2 if stage > 1 and index == 0 else 1
            x = residual_block(x, part(p, f"layer{stage}.{index}."), stride)
    return x


def residual_block(x, p: Arrays, stride: int):
    if "conv3.weight" in p:  # 1x1, then the stride in the 3x3, then 1x1
        out = np.maximum(batch_norm(convolve(x, p["conv1.weight"], 1, 0), p, "bn1"), 0)
        out = np.maximum(batch_norm(convolve(out, p["conv2.weight"], stride, 1), p, "bn2"), 0)
        out = batch_norm(convolve(out, p["conv3.weight"], 1, 0), p, "bn3")
    else:
        out = np.maximum(batch_norm(convolve(x, p["conv1.weight"], stride, 1), p, "bn1"), 0)
        out = batch_norm(convolve(out, p["conv2.weight"], 1, 1), p, "bn2")
    if "downsample.0.weight" in p:
        x = batch_norm(convolve(x, p["downsample.0.weight"], stride, 0), p, "downsample.1")
    return np.maximum(x + out, 0)


def as_tokens(feature_map):
    """(C, X, Y) -> (X * Y, C), row by row."""
    return np.stack([feature_map[:, i, j] for i in range(feature_map.shape[1]) for j in range(feature_map.shape[2])])


def small_cnn(x, p: Arrays):
    for index in (0, 2, 4):
        x = np.maximum(convolve(x, p[f"network.{index}.weight"], 2, 1, p[f"network.{index}.bias"]), 0)
    x = convolve(x, p["proj_conv.0.weight"], 1, 0, p["proj_conv.0.bias"])
    return max_pool(x, 2, 2, 0)


def heads_of(x, n_heads: int):
    """(P, E) -> list of (P, E / heads), neighboring columns together."""
    width = x.shape[1] // n_heads
    return [x[:, h * width : (h + 1) * width] for h in range(n_heads)]


def attend(query, key, value, n_heads: int, penalty=0.0):
    outs = []
    for q, k, v in zip(*(heads_of(x, n_heads) for x in (query, key, value)), strict=True):
        outs.append(softmax(q @ k.T / math.sqrt(q.shape[1]) + penalty) @ v)
    return np.concatenate(outs, axis=1)


def block(x, p: Arrays, n_heads: int, penalty=0.0, context=None):
    """Pre-norm block, with cross-attention between the two parts if there is a context."""
    dim = x.shape[1]
    qkv = linear(layer_norm(x, p, "norm1"), p, "attn.qkv")
    q, k, v = qkv[:, :dim], qkv[:, dim : 2 * dim], qkv[:, 2 * dim :]
    x = x + linear(attend(q, k, v, n_heads, penalty), p, "attn.proj")
    if context is not None:
        q = linear(layer_norm(x, p, "cross_norm"), p, "cross_attn.q_proj")
        kv = linear(context, p, "cross_attn.kv_proj")
        x = x + linear(attend(q, kv[:, :dim], kv[:, dim:], n_heads), p, "cross_attn.proj")
    return x + linear(gelu(linear(layer_norm(x, p, "norm2"), p, "mlp.fc1")), p, "mlp.fc2")


def table_encoder(row, missing, p: Arrays, cardinalities: Sequence[int], n_heads: int):
    """Class token and one token per column, (1 + F, E)."""
    tokens = [p["cls_token"][0, 0]]
    for column, value in enumerate(row):
        if missing[column]:
            tokens.append(p["mask_special_token"][0, 0])
        elif column < len(cardinalities):
            tokens.append(p["cat_embedding.weight"][int(value) + sum(cardinalities[:column])])
        else:
            tokens.append(value * p["con_proj.weight"][:, 0] + p["con_proj.bias"])
    x = layer_norm(np.stack(tokens) + p["column_embedding.weight"], p, "norm")
    hidden = np.concatenate([[False], missing])
    penalty = np.zeros((len(x), len(x)))
    for query in range(len(x)):
        for key in range(len(x)):
            if hidden[key] and query != key:
                penalty[query, key] = HIDDEN_KEY
    for index in range(count(p, "transformer_blocks.")):
        x = block(x, part(p, f"transformer_blocks.{index}."), n_heads, penalty)
    return x


# --- the classifier


def fuse(tokens: Sequence[np.ndarray], missing: Sequence[np.ndarray], p: Arrays, n_heads: int, metric: str):
    """Logits (K,) and feature (D,) from the projected and normed tokens of every modality, in order."""
    rows = []
    for m, (values, absent) in enumerate(zip(tokens, missing, strict=True)):
        zeroed = np.where(np.asarray(absent)[:, None], 0.0, values)
        rows.append(zeroed + p["modality_embeddings.weight"][m])
    x = np.concatenate([p["cls_token"][0], *rows]) + p["pos_embeddings"][0]
    penalty = np.where(np.concatenate([[False], *missing]), HIDDEN_KEY, 0.0)[None, :]
    for index in range(count(p, "transformer.")):
        x = block(x, part(p, f"transformer.{index}."), n_heads, penalty)
    z = linear(x[0], p, "projection")
    if metric == "cosine":
        z = z / np.linalg.norm(z)
    return linear(x[0], p, "classifier"), z


def image_tokens(image, p: Arrays):
    tokens = as_tokens(resnet(image, part(p, "m_encoders.img.")))
    return layer_norm(linear(tokens, p, "m_projection.img"), p, "m_norms.0")


def table_tokens(row, missing, p: Arrays, cardinalities: Sequence[int], n_heads: int):
    tokens = table_encoder(row, missing, part(p, "m_encoders.tabular."), cardinalities, n_heads)[1:]
    return layer_norm(linear(tokens, p, "m_projection.tabular"), p, "m_norms.1")


def classify(image, row, missing, p: Arrays, cardinalities: Sequence[int], *, table_heads, fusion_heads, metric):
    """Image and table; ``image`` None = absent, ``row`` None = the whole table is absent."""
    n_columns = len(p["m_encoders.tabular.column_embedding.weight"]) - 1
    n_patches = p["pos_embeddings"].shape[1] - 1 - n_columns
    dim = p["cls_token"].shape[-1]
    image_absent = image is None
    missing = np.ones(n_columns, dtype=bool) if row is None else np.asarray(missing)
    row = np.zeros(n_columns) if row is None else row
    tokens = [
        np.zeros((n_patches, dim)) if image_absent else image_tokens(image, p),
        table_tokens(row, missing, p, cardinalities, table_heads),
    ]
    return fuse(tokens, [np.full(n_patches, image_absent), missing], p, fusion_heads, metric)


def classify_images(images: Sequence, p: Arrays, *, n_heads: int, metric: str):
    """Any number of small images with an encoder each; None = absent."""
    dim = p["cls_token"].shape[-1]
    n_tokens = (p["pos_embeddings"].shape[1] - 1) // len(images)
    tokens, missing = [], []
    for m, image in enumerate(images):
        absent = image is None
        encoded = None if absent else as_tokens(small_cnn(image, part(p, f"m_encoders.{m}.")))
        tokens.append(np.zeros((n_tokens, dim)) if absent else layer_norm(encoded, p, f"m_norms.{m}"))
        missing.append(np.full(n_tokens, absent))
    return fuse(tokens, missing, p, n_heads, metric)


# --- TIP


def in_context(tokens, image_features, p: Arrays, n_heads: int):
    """Table tokens (1 + F, E) in the light of image tokens (P, C)."""
    p = part(p, "encoder_multimodal.")
    context = layer_norm(linear(image_features, p, "image_proj"), p, "image_norm")
    for index in range(count(p, "transformer_blocks.")):
        tokens = block(tokens, part(p, f"transformer_blocks.{index}."), n_heads, context=context)
    return layer_norm(tokens, p, "norm")


def tip_predictions(image, row, missing, p: Arrays, cardinalities: Sequence[int], *, table_heads, tip_heads):
    """Scores over all categories (n_cat, sum) and predicted numbers (n_num,)."""
    features = as_tokens(resnet(image, part(p, "encoder_imaging.")))
    tokens = table_encoder(row, missing, part(p, "encoder_tabular."), cardinalities, table_heads)
    columns = in_context(tokens, features, p, tip_heads)[1:]
    n_cat = len(cardinalities)
    scores = linear(columns[:n_cat], p, "predictor_tabular.cat_classifier")
    return scores, linear(columns[n_cat:], p, "predictor_tabular.con_regressor")[:, 0]


def recover(image, row, missing, p: Arrays, cardinalities: Sequence[int], *, table_heads, tip_heads, decoding):
    """The completed row."""
    scores, numbers = tip_predictions(
        image, row, missing, p, cardinalities, table_heads=table_heads, tip_heads=tip_heads
    )
    completed = np.array(row, dtype=np.float64)
    for column in range(len(row)):
        if not missing[column]:
            continue
        if column >= len(cardinalities):
            completed[column] = numbers[column - len(cardinalities)]
            continue
        start, size = sum(cardinalities[:column]), cardinalities[column]
        if decoding == "column":
            completed[column] = np.argmax(scores[column, start : start + size])
        else:
            completed[column] = min(max(int(np.argmax(scores[column])) - start, 0), size - 1)
    return completed
