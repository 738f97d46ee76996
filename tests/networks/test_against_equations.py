"""The networks against plain float64 equations, sample by sample."""

import itertools

import numpy as np
import pytest
import torch

from tests.networks import build, oracle, weights

TOLERANCE = {"rtol": 0, "atol": 1e-9}


def equations(inputs, index, arrays, metric):
    """Classify one sample of a batch with the oracle, from what is there only."""
    sample = {name: value[index].numpy() for name, value in inputs.items()}
    image = None if sample["image_missing"] else sample["image"]
    row = None if sample["table_missing"].all() else np.where(sample["table_missing"], 0.0, sample["table"])
    return oracle.classify(
        image, row, sample["table_missing"], arrays, weights.CARDINALITIES, metric=metric, **weights.HEADS
    )


@pytest.mark.parametrize("metric", ["cosine", "squared_euclidean"])
@pytest.mark.parametrize("bottleneck", [True, False])
def test_classifier(metric, bottleneck):
    network, arrays = build.classifier(metric, bottleneck)
    inputs = build.batch()
    with torch.no_grad():
        tokens = {name: network.encode(name, inputs[name], inputs[f"{name}_missing"]) for name in network.modalities}
        fused = network.fuse(tokens)
        logits = network(**inputs)
    assert torch.equal(logits, fused.logits)
    for index in range(len(logits)):
        expected_logits, expected_feature = equations(inputs, index, arrays, metric)
        np.testing.assert_allclose(fused.logits[index], expected_logits, **TOLERANCE)
        np.testing.assert_allclose(fused.embedding[index], expected_feature, **TOLERANCE)


def test_classifier_in_single_precision():
    network, arrays = build.classifier()
    inputs = build.batch()
    with torch.no_grad():
        logits = network.float()(**{k: v.float() if v.is_floating_point() else v for k, v in inputs.items()})
    expected = [equations(inputs, index, arrays, "cosine")[0] for index in range(len(logits))]
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("metric", ["cosine", "squared_euclidean"])
@pytest.mark.parametrize("n_modalities", [2, 3])
def test_classifier_of_small_images(n_modalities, metric):
    network, arrays = build.images_classifier(n_modalities, metric)
    pictures = {f"m{m}": build.images(1, seed=m, size=28)[0] for m in range(n_modalities)}
    for there in itertools.product([True, False], repeat=n_modalities):
        if not any(there):
            continue
        inputs = {name: torch.as_tensor(picture).unsqueeze(0) for name, picture in pictures.items()}
        masks = {f"m{m}_missing": torch.tensor([not present]) for m, present in enumerate(there)}
        with torch.no_grad():
            fused = network.fuse(
                {name: network.encode(name, x, masks[f"{name}_missing"]) for name, x in inputs.items()}
            )
        expected_logits, expected_feature = oracle.classify_images(
            [picture if present else None for picture, present in zip(pictures.values(), there, strict=True)],
            arrays,
            n_heads=2,
            metric=metric,
        )
        np.testing.assert_allclose(fused.logits[0], expected_logits, **TOLERANCE)
        np.testing.assert_allclose(fused.embedding[0], expected_feature, **TOLERANCE)


def test_table_encoder():
    network, arrays = build.classifier()
    encoder, inputs = network.encoders["table"], build.batch()
    with torch.no_grad():
        tokens = encoder.encode_with_class_token(inputs["table"], inputs["table_missing"])
    below = oracle.part(arrays, "m_encoders.tabular.")
    for index, (row, missing) in enumerate(zip(inputs["table"].numpy(), inputs["table_missing"].numpy(), strict=True)):
        expected = oracle.table_encoder(row, missing, below, weights.CARDINALITIES, weights.HEADS["table_heads"])
        np.testing.assert_allclose(tokens[index], expected, **TOLERANCE)


@pytest.mark.parametrize("decoding", ["column", "global"])
def test_recovered_tables(decoding):
    network, arrays = build.tip(decoding)
    inputs = build.batch([(True, "whole"), (True, "none"), *[(True, "part")] * 4])
    with torch.no_grad():
        completed = network(inputs["image"], inputs["table"], inputs["table_missing"])
    for index in range(len(completed)):
        sample = {name: value[index].numpy() for name, value in inputs.items()}
        expected = oracle.recover(
            sample["image"],
            sample["table"],
            sample["table_missing"],
            arrays,
            weights.CARDINALITIES,
            decoding=decoding,
            **weights.TIP_HEADS,
        )
        np.testing.assert_allclose(completed[index], expected, **TOLERANCE)


def test_decodings_differ_on_these_weights():
    table = torch.zeros(8, 6, dtype=torch.float64)
    image = torch.as_tensor(build.images(8))
    missing = torch.ones(8, dtype=torch.bool)
    completed = [build.tip(decoding)[0](image, table, missing)[:, :3] for decoding in ("column", "global")]
    assert not torch.equal(*completed)


def test_pretraining_tensors():
    network, arrays = build.tip()
    arrays = {**arrays, **weights.tip_heads()}
    inputs = build.batch([(True, "whole"), *[(True, "part")] * 3])
    missing, corrupted = inputs["table_missing"], torch.as_tensor(build.rows(4, seed=11))
    hidden = torch.zeros_like(missing)
    hidden[:, ::2] = True
    torch.manual_seed(0)
    with torch.no_grad():
        output = network(inputs["image"], inputs["table"], missing, corrupted=corrupted, hidden=hidden)
        torch.manual_seed(0)
        wrong_table, wrong_image = network._hard_negatives(output["image_projection"], output["table_projection"])

    def head(x, name):
        return oracle.linear(np.maximum(oracle.linear(x, arrays, f"{name}.0"), 0), arrays, f"{name}.2")

    maps = [oracle.resnet(x, oracle.part(arrays, "encoder_imaging.")) for x in inputs["image"].numpy()]
    below = oracle.part(arrays, "encoder_tabular.")
    tables = [
        oracle.table_encoder(row, mask, below, weights.CARDINALITIES, 2)
        for row, mask in zip(corrupted.numpy(), missing.numpy(), strict=True)
    ]
    for index in range(4):
        z = head(maps[index].mean((1, 2)), "projector_imaging")
        np.testing.assert_allclose(output["image_projection"][index], z / np.linalg.norm(z), **TOLERANCE)
        z = head(tables[index][0], "projector_tabular")
        np.testing.assert_allclose(output["table_projection"][index], z / np.linalg.norm(z), **TOLERANCE)
        scores, numbers = oracle.tip_predictions(
            inputs["image"][index].numpy(),
            inputs["table"][index].numpy(),
            (missing | hidden)[index].numpy(),
            arrays,
            weights.CARDINALITIES,
            **weights.TIP_HEADS,
        )
        np.testing.assert_allclose(output["cat_logits"][index], scores, **TOLERANCE)
        np.testing.assert_allclose(output["num_values"][index], numbers, **TOLERANCE)
    pairs = [(i, i) for i in range(4)]
    pairs += [(i, int(wrong_table[i])) for i in range(4)] + [(int(wrong_image[i]), i) for i in range(4)]
    assert all(image != table for image, table in pairs[4:])
    for index, (image, table) in enumerate(pairs):
        context = oracle.in_context(tables[table], oracle.as_tokens(maps[image]), arrays, 4)
        expected = oracle.linear(context[0], arrays, "itm_head")
        np.testing.assert_allclose(output["match_logits"][index], expected, **TOLERANCE)


def test_wrong_pairs_are_drawn_in_proportion_to_similarity():
    network, _ = build.tip()
    angle = torch.tensor([0.0, 0.05, 0.2], dtype=torch.float64)
    z = torch.stack([angle.cos(), angle.sin()], 1)
    torch.manual_seed(1)
    draws = torch.stack([network._hard_negatives(z, z)[0] for _ in range(800)])
    scores = np.exp(z.numpy() @ z.numpy().T / 0.1)
    np.fill_diagonal(scores, 0)
    expected = scores / scores.sum(1, keepdims=True)
    for row in range(3):
        found = np.bincount(draws[:, row], minlength=3) / 800
        np.testing.assert_allclose(found, expected[row], atol=0.07)
