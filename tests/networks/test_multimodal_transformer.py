"""What the classifier promises beside its equations: missing content, absent inputs, order, refusals, gradients."""

import itertools

import pytest
import torch

from dymo_med.networks.nets import ConvEncoder, ImageEncoder, MultimodalTransformer, TableEncoder
from dymo_med.selection import Tokens
from tests.networks import build, weights

GARBAGE = [torch.nan, torch.inf, -torch.inf, 1e6]


@pytest.fixture(scope="module")
def network():
    return build.classifier()[0]


def fused(network, inputs):
    with torch.no_grad():
        return network.fuse({n: network.encode(n, inputs[n], inputs[f"{n}_missing"]) for n in network.modalities})


def refill(inputs, filler):
    changed = dict(inputs)
    changed["image"] = torch.where(inputs["image_missing"][:, None, None, None], filler, inputs["image"])
    changed["table"] = torch.where(inputs["table_missing"], filler, inputs["table"])
    return changed


@pytest.mark.parametrize("filler", GARBAGE)
def test_content_of_missing_entries_changes_no_bit(network, filler):
    inputs = build.batch()
    reference, found = fused(network, refill(inputs, 0.0)), fused(network, refill(inputs, filler))
    assert torch.equal(found.logits, reference.logits)
    assert torch.equal(found.embedding, reference.embedding)
    assert torch.equal(network(**refill(inputs, filler)), reference.logits)


def test_content_of_observed_entries_counts(network):
    inputs = build.batch()
    reference = fused(network, inputs).logits
    for name in ("image", "table"):
        changed = {**inputs, name: torch.where(inputs[name].isnan(), torch.nan, inputs[name] * 0.5)}
        rows = (fused(network, changed).logits != reference).any(1)
        assert rows.any()
    whole_table_missing = inputs["table_missing"].all(1)
    assert not rows[whole_table_missing].any()


def test_one_sample_equals_its_row(network):
    inputs = build.batch()
    reference = fused(network, inputs)
    for index in range(len(reference.logits)):
        alone = fused(network, build.take(inputs, slice(index, index + 1)))
        torch.testing.assert_close(alone.logits[0], reference.logits[index], rtol=0, atol=1e-11)
        torch.testing.assert_close(alone.embedding[0], reference.embedding[index], rtol=0, atol=1e-11)


def test_permuted_samples_permute_results(network):
    inputs, order = build.batch(), torch.tensor([3, 0, 5, 4, 1, 2])
    permuted = fused(network, build.take(inputs, order))
    torch.testing.assert_close(permuted.logits, fused(network, inputs).logits[order], rtol=0, atol=1e-11)


def test_image_alone_equals_a_table_that_is_all_missing(network):
    image = torch.as_tensor(build.images(2))
    with torch.no_grad():
        alone = network(image)
        masked = network(
            image, torch.full((2, 6), torch.nan, dtype=torch.float64), table_missing=torch.ones(2, 6, dtype=torch.bool)
        )
        left_out = network.fuse({"image": network.encode("image", image)}).logits
    assert torch.equal(alone, masked)
    torch.testing.assert_close(left_out, alone, rtol=0, atol=1e-12)


def test_positions_and_names_give_the_same(network):
    inputs = build.batch()
    names = ["image", "table", "image_missing", "table_missing"]
    with torch.no_grad():
        assert torch.equal(network(*(inputs[name] for name in names)), network(**inputs))


def test_mask_per_sample_equals_mask_per_column(network):
    inputs = build.batch([(True, "whole"), (True, "none")])
    short = {**inputs, "table_missing": inputs["table_missing"].all(1)}
    with torch.no_grad():
        assert torch.equal(network(**inputs), network(**short))


def test_subsets_equal_masked_inputs(network):
    inputs = build.batch()
    with torch.no_grad():
        result = network(**inputs, subsets=network.subsets)
        for index, (use_image, use_table) in enumerate([(True, False), (False, True), (True, True)]):
            masked = dict(inputs)
            masked["image_missing"] = inputs["image_missing"] | (not use_image)
            masked["table_missing"] = inputs["table_missing"] | (not use_table)
            nothing = masked["image_missing"] & masked["table_missing"].all(1)
            assert torch.equal(result.logits[index].isnan().all(1), nothing)
            assert torch.equal(result.embedding[index].isnan().any(1), nothing)
            expected = network(**build.take(masked, ~nothing))
            torch.testing.assert_close(result.logits[index][~nothing], expected, rtol=0, atol=1e-11)


def test_tokens_that_are_all_missing_equal_a_modality_left_out():
    network, _ = build.images_classifier(3)
    x = torch.as_tensor(build.images(2, size=28))
    tokens = {name: network.encode(name, x) for name in ("m0", "m2")}
    absent = network.encode("m1", x, torch.ones(2, dtype=torch.bool))
    torch.testing.assert_close(
        network.fuse({**tokens, "m1": absent}).logits, network.fuse(tokens).logits, rtol=0, atol=1e-12
    )


def test_absent_samples_are_not_encoded():
    network, _ = build.classifier()
    images = build.count_passes(network.encoders["image"])
    tables = build.count_passes(network.encoders["table"])
    inputs = build.batch()
    with torch.no_grad():
        network(**inputs)
        assert (images, tables) == ([4], [5])
        network(**inputs, subsets=network.subsets)
        assert (images, tables) == ([4, 4], [5, 5])
        network(inputs["image"][:1])
        assert (images, tables) == ([4, 4, 1], [5, 5])


def test_absent_tokens_are_position_and_modality_alone(network):
    tokens = network.encode("table", torch.zeros(1, 6, dtype=torch.float64), torch.ones(1, dtype=torch.bool))
    expected = network.modality_embeddings.weight[1] + network.pos_embeddings[:, 5:]
    assert torch.equal(tokens.values, expected)
    assert tokens.missing.all()
    inputs = build.batch([(True, "part")])
    partly = network.encode("table", inputs["table"], inputs["table_missing"])
    missing = inputs["table_missing"][0]
    assert torch.equal(partly.values[0, missing], expected[0, missing])
    assert not torch.isclose(partly.values[0, ~missing], expected[0, ~missing]).all(1).any()


def test_a_sample_without_anything_is_refused_by_position(network):
    inputs = build.batch([(True, "whole"), (False, "none"), (True, "none"), (False, "none")])
    with pytest.raises(ValueError, match=r"one observed modality of \['image', 'table'\], however: .*\[1, 3\]"):
        network(**inputs)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"ecg": torch.zeros(6)}, TypeError, r"inputs must be \(image, table=None.*unexpected keyword argument 'ecg'"),
        ({"image": None}, TypeError, "image must be a tensor, however: None"),
        ({"image": torch.zeros(6, 3, 32, 32)}, ValueError, r"image must have shape \(6, 3, 64, 64\).*32, 32"),
        ({"table": torch.zeros(6, 5)}, ValueError, r"table must have shape \(6, 6\), however: .*\(6, 5\)"),
        ({"table": torch.zeros(5, 6)}, ValueError, r"table must have shape \(6, 6\), however: .*\(5, 6\)"),
        ({"image_missing": torch.zeros(6)}, TypeError, "image_missing must be boolean.*torch.float32"),
        ({"table_missing": torch.zeros(6, 6)}, TypeError, "table_missing must be boolean.*torch.float32"),
        ({"table_missing": torch.zeros(6, 5, dtype=torch.bool)}, ValueError, r"table_missing must have.*\(6, 5\)"),
        ({"image_missing": torch.zeros(6, 2, dtype=torch.bool)}, ValueError, r"image_missing must have.*\(6, 2\)"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(network, change, error, text):
    with pytest.raises(error, match=text):
        network(**{**build.batch(), **change})


def test_further_refusals(network):
    with pytest.raises(TypeError, match=r"multiple values for argument 'image'"):
        network(torch.zeros(1, 3, 64, 64), image=torch.zeros(1, 3, 64, 64))
    with pytest.raises(KeyError, match=r"modality must be one of \['image', 'table'\], however: 'ecg'"):
        network.encode("ecg", torch.zeros(1, 6))
    with pytest.raises(ValueError, match=r"tokens must hold a modality of .* however: \['ecg'\]"):
        network.fuse({"ecg": Tokens(torch.zeros(1, 1, 16), torch.zeros(1, 1, dtype=torch.bool))})
    with pytest.raises(ValueError, match=r"at least one modality, however: encoders=\{\}"):
        MultimodalTransformer({}, 2)
    with pytest.raises(ValueError, match=r"n_classes must be a positive integer, however: n_classes=0"):
        MultimodalTransformer({"image": ConvEncoder()}, 0)
    with pytest.raises(ValueError, match=r"dim must be a multiple of n_heads, however: dim=8, n_heads=3"):
        MultimodalTransformer({"image": ConvEncoder()}, 2, dim=8, n_heads=3)
    with pytest.raises(ValueError, match=r"metric must be one of 'cosine', 'squared_euclidean', however: metric='l1'"):
        MultimodalTransformer({"image": ConvEncoder()}, 2, metric="l1")


def test_encoders_refuse_impossible_sizes():
    with pytest.raises(ValueError, match=r"multiple of 32, however: image_size=100"):
        ImageEncoder(3, 100)
    with pytest.raises(ValueError, match=r"block must be one of \['basic', 'bottleneck'\], however: block='wide'"):
        ImageEncoder(3, 64, block="wide")
    with pytest.raises(ValueError, match=r"at least one column, however: cat_cardinalities=\[\], n_num_features=0"):
        TableEncoder([], 0)
    with pytest.raises(ValueError, match=r"2 pixels or more after 3 .* image_size=8 leaves 1"):
        ConvEncoder(3, 8)
    with pytest.raises(ValueError, match=r"channels\[1\] must be a positive integer, however: channels\[1\]=0"):
        ConvEncoder(3, 28, channels=(4, 0))


@pytest.mark.parametrize(("cardinalities", "n_numbers"), [([2, 3], 0), ([], 4)])
def test_tables_of_one_kind_only(cardinalities, n_numbers):
    encoder = TableEncoder(cardinalities, n_numbers, dim=8, n_blocks=1, n_heads=2)
    n_columns = len(cardinalities) + n_numbers
    tokens = encoder(torch.ones(2, n_columns), torch.zeros(2, n_columns, dtype=torch.bool))
    assert tokens.shape == (2, n_columns, 8)
    assert not torch.equal(tokens[:, 0], tokens[:, 1])


def test_gradients_reach_every_encoder_that_is_used():
    for use_image, use_table in itertools.product([True, False], repeat=2):
        if not (use_image or use_table):
            continue
        network, _ = build.classifier()
        inputs = build.batch([(True, "whole"), (True, "part")])
        inputs = {**inputs, "table": inputs["table"].nan_to_num()}
        result = network(**inputs, subsets=torch.tensor([[use_image, use_table]]))
        (result.logits.sum() + result.embedding[..., 0].sum()).backward()
        for name, used in (("image", use_image), ("table", use_table)):
            parameters = [*network.encoders[name].parameters(), *network.projections[name].parameters()]
            flows = [p.grad is not None and bool(p.grad.abs().sum() > 0) for p in parameters]
            # the class token of the table encoder is dropped after the last block
            assert sum(flows) > 0.8 * len(flows) if used else not any(flows)


def test_state_dict_carries_prototypes_and_statistics(tmp_path):
    network, _ = build.classifier()
    build.fit_statistics(network)
    other = build.new_classifier().double()
    assert not other.statistics.is_fitted
    torch.save(network.state_dict(), tmp_path / "w.pt")
    other.load_state_dict(torch.load(tmp_path / "w.pt", weights_only=True))
    for name, value in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name
    assert other.statistics.is_fitted
    assert torch.equal(other.prototypes, network.prototypes)
    assert other.prototypes.abs().sum() > 0
    assert torch.equal(other.eval()(**build.batch()), network(**build.batch()))


def test_default_sizes_are_the_published_ones():
    with torch.device("meta"):
        network = MultimodalTransformer({"image": ImageEncoder(), "table": TableEncoder([2] * 26, 49)}, 2)
    assert network.pos_embeddings.shape == (1, 1 + 16 + 75, 256)
    assert network.projections["image"].weight.shape == (256, 2048)
    assert network.projection.weight.shape == (128, 256)
    assert len(network.encoders["table"].transformer_blocks) == 4
    assert ConvEncoder().n_tokens == 4
    assert weights.own_name("m_norms.1.weight") in network.state_dict()
