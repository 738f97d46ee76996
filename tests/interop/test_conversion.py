"""Published weights against plain equations: logits, features, recovered tables, decisions."""

import itertools

import numpy as np
import pytest
import torch

from dymo_med.inferers import Policy, SelectionInferer
from dymo_med.interop import load_published
from tests.inferers.reference import decide
from tests.interop import files
from tests.networks import build, oracle, weights

KINDS = [(True, "none")] * 5 + [(True, "part")] * 7 + [(True, "whole")]
HEADS = {"table_heads": 2, "tip_heads": 4}


def write_all(folder, metric="cosine", dataset="CAD", order=None):
    arrays, tip_arrays = files.classifier_arrays(metric), weights.tip_arrays(1, layers=files.LAYERS)
    inputs = build.batch(KINDS)
    statistics = files.statistics_arrays(arrays, metric, inputs)
    paths = {
        "classifier": files.write_classifier(folder / "best.ckpt", arrays, metric=metric, dataset=dataset),
        "statistics": files.write_statistics(folder / "subset_gaussian.pt", statistics, order=order),
        "recovery": files.write_tip(folder / "last.ckpt", tip_arrays),
        "field_lengths": files.write_lengths(folder / "lengths.pt"),
    }
    return paths, arrays, tip_arrays, statistics, inputs


@pytest.mark.parametrize(
    ("metric", "dataset", "ics_weight", "decoding", "order"),
    [
        ("cosine", "CAD", "ratio", "column", None),
        ("cosine", "DVM", "log_ratio", "global", [2, 0, 1]),
        ("squared_euclidean", "Infarction", "ratio", "global", [1, 0, 2]),
    ],
)
def test_every_figure_equals_the_equations(tmp_path, metric, dataset, ics_weight, decoding, order):
    paths, arrays, tip_arrays, statistics, inputs = write_all(tmp_path, metric, dataset, order)
    model = load_published(**paths, **HEADS, decoding=decoding)
    assert model.ics_weight == ics_weight
    network, recovery = model.network.double(), model.recovery.double()
    rest = {name: value for name, value in inputs.items() if name != "image"}
    policy = Policy("greedy", ics_weight)
    selection = SelectionInferer([recovery], {"p": policy})(inputs["image"], network, **rest)["p"]
    table_missing = inputs["table_missing"]
    proposal = recovery(inputs, {"image": inputs["image_missing"], "table": table_missing})
    accepted = rejected = 0
    for index in range(len(KINDS)):
        sample = {name: value[index].numpy() for name, value in inputs.items()}
        expected = decide(sample, arrays, tip_arrays, statistics, policy, metric=metric, decoding=decoding)
        completed = oracle.recover(
            sample["image"],
            np.where(sample["table_missing"], 0.0, sample["table"]),
            sample["table_missing"],
            tip_arrays,
            weights.CARDINALITIES,
            decoding=decoding,
            **weights.TIP_HEADS,
        )
        np.testing.assert_allclose(proposal.values[index], completed, rtol=0, atol=1e-4)
        assert selection.trace.variants[index].tolist() == [expected.chosen[0], expected.chosen[1]]
        np.testing.assert_allclose(selection.logits[index], expected.logits, rtol=0, atol=1e-4)
        np.testing.assert_allclose(selection.embedding[index], expected.embedding, rtol=0, atol=1e-4)
        for step, found in zip(expected.steps, selection.trace.steps, strict=False):
            assert float(found.confidence_before[index]) == pytest.approx(step.q_before, abs=1e-4)
            assert float(found.ics_before[index]) == pytest.approx(step.ics_before, abs=5e-4)
            assert float(found.confidence[index, 0]) == pytest.approx(step.q_after[1, 1], abs=1e-4)
            assert float(found.ics[index, 0]) == pytest.approx(step.ics_after[1, 1], abs=5e-4)
            assert float(found.reward[index, 0]) == pytest.approx(step.rewards[1, 1], abs=5e-4)
            accepted += len(step.accepted)
            rejected += step.rewards[1, 1] < 0
    assert accepted
    assert rejected


@pytest.mark.parametrize("bottleneck", [True, False])
def test_sizes_are_read_from_the_parameters(tmp_path, bottleneck):
    arrays = weights.classifier_arrays(3, bottleneck=bottleneck)
    path = files.write_classifier(tmp_path / "best.ckpt", arrays)
    model = load_published(path, field_lengths=files.write_lengths(tmp_path / "lengths.pt"), table_heads=2)
    assert model.recovery is None
    assert not model.network.statistics.is_fitted
    assert model.sizes == {
        "resnet_block": "bottleneck" if bottleneck else "basic",
        "resnet_layers": [2, 1, 1, 1],
        "resnet_channels": [4, 4, 6, 8],
        "table_dim": 12,
        "table_blocks": 2,
        "table_heads": 2,
        "fusion_dim": 16,
        "fusion_blocks": 2,
        "fusion_heads": 4,
        "embedding_dim": 6,
    }
    inputs = build.batch([(True, "part"), (False, "whole")])
    with torch.no_grad():
        logits = model.network.double()(**inputs)
    for index in range(2):
        sample = {name: value[index].numpy() for name, value in inputs.items()}
        expected, _ = oracle.classify(
            None if sample["image_missing"] else sample["image"],
            np.where(sample["table_missing"], 0.0, sample["table"]),
            sample["table_missing"],
            arrays,
            weights.CARDINALITIES,
            metric="cosine",
            **weights.HEADS,
        )
        np.testing.assert_allclose(logits[index], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("n_modalities", [2, 3, 5])
def test_small_pictures_with_the_published_modality_embedding(tmp_path, n_modalities):
    arrays = weights.images_arrays(n_modalities)
    path = files.write_classifier(tmp_path / "best.ckpt", arrays, dataset="PolyMNIST", heads=2)
    statistics = files.random_statistics(n_modalities, n_classes=4, dim=5)
    order = np.random.default_rng(0).permutation(len(statistics.subsets)).tolist()
    gaussian = files.write_statistics(tmp_path / "g.pt", statistics, n_modalities=n_modalities, order=order)
    model = load_published(path, statistics=gaussian)
    network = model.network.double()
    assert model.ics_weight == "log_ratio"
    assert model.sizes == {}
    np.testing.assert_allclose(network.statistics.prototypes, statistics.prototypes, atol=1e-6)
    np.testing.assert_allclose(network.statistics.std, statistics.std, atol=1e-6)
    as_trained = dict(arrays)
    rows = [min(m, 1) for m in range(n_modalities)]  # every modality but the first was looked up in row 1
    as_trained["modality_embeddings.weight"] = arrays["modality_embeddings.weight"][rows]
    pictures = [build.images(1, seed=m, size=28)[0] for m in range(n_modalities)]
    for there in itertools.islice(itertools.product([True, False], repeat=n_modalities), 6):
        if not any(there):
            continue
        inputs = {f"m{m}": torch.as_tensor(picture)[None] for m, picture in enumerate(pictures)}
        masks = {f"m{m}_missing": torch.tensor([not present]) for m, present in enumerate(there)}
        with torch.no_grad():
            logits = network(**inputs, **masks)[0]
        present = [picture if is_there else None for picture, is_there in zip(pictures, there, strict=True)]
        expected, _ = oracle.classify_images(present, as_trained, n_heads=2, metric="cosine")
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)


def test_what_is_not_needed_is_listed(tmp_path):
    paths, *_ = write_all(tmp_path)
    model = load_published(**paths, **HEADS)
    assert model.unused["best.ckpt"] == ["best_val_score", "epoch", "optimizer", "scheduler"]
    assert model.unused["subset_gaussian.pt"] == ["t_dist_params"]
    assert "optimizer_states" in model.unused["last.ckpt"]
    assert "projector_imaging" not in model.unused["last.ckpt"]


def test_heads_of_another_form_are_left_out_and_zero(tmp_path):
    paths, *_ = write_all(tmp_path)
    arrays = weights.tip_arrays(1, layers=files.LAYERS)
    arrays["projector_imaging.layers.1.running_mean"] = np.zeros(4)
    arrays["itm_head.weight"] = np.ones((2, 12))
    paths["recovery"] = files.write_tip(tmp_path / "last.ckpt", arrays, heads=False)
    model = load_published(**paths, **HEADS)
    assert model.unused["last.ckpt"][-2:] == ["itm_head", "projector_imaging"]
    assert not model.recovery.network.itm_head.weight.any()
    assert not model.recovery.network.projector_tabular[0].weight.any()
    assert model.recovery.network.image_proj.weight.any()


def test_lightning_settings_of_other_kinds_are_read(tmp_path):
    arrays = files.classifier_arrays()
    settings = {"dataset_name": "CAD", "CAD": {"distance_metric": "squared_euclidean", "transformer_heads": 4}}
    lengths = files.write_lengths(tmp_path / "lengths.pt")
    with files.fake_package("pytorch_lightning.utilities.parsing.Extra") as made:
        torch.save(
            {"state_dict": files.tensors(arrays), "hyper_parameters": settings, "hparams_type": made["Extra"]},
            tmp_path / "plain.ckpt",
        )
    model = load_published(tmp_path / "plain.ckpt", field_lengths=lengths, table_heads=2)
    assert model.network.metric == "squared_euclidean"


def test_settings_that_the_checkpoint_does_not_tell(tmp_path):
    arrays, lengths = files.classifier_arrays(), files.write_lengths(tmp_path / "lengths.pt")
    torch.save({"state_dict": files.tensors(arrays)}, tmp_path / "bare.ckpt")
    options = {"field_lengths": lengths, "table_heads": 2}
    with pytest.raises(ValueError, match=r"metric must be given .* however: bare.ckpt says None: pass 'cosine'"):
        load_published(tmp_path / "bare.ckpt", **options)
    with pytest.raises(ValueError, match=r"fusion_heads must be given .* bare.ckpt says None: pass 8 for image"):
        load_published(tmp_path / "bare.ckpt", metric="cosine", **options)
    model = load_published(tmp_path / "bare.ckpt", metric="cosine", fusion_heads=4, **options)
    assert model.ics_weight == "ratio"
    path = files.write_classifier(tmp_path / "best.ckpt", arrays)
    with pytest.raises(ValueError, match=r"metric must be that of the training, however: metric='squared_euclidean'"):
        load_published(path, metric="squared_euclidean", **options)
    with pytest.raises(ValueError, match=r"fusion_heads must be that of the training, however: fusion_heads=2 .* 4"):
        load_published(path, fusion_heads=2, **options)
    odd = {"dataset_name": "CAD", "CAD": {"distance_metric": "l1", "transformer_heads": 4}}
    with pytest.raises(ValueError, match=r"distance_metric of odd.ckpt must be one of .* however: 'l1'"):
        load_published(files.write_classifier(tmp_path / "odd.ckpt", arrays, settings=odd), **options)


def without(arrays, name):
    return {key: value for key, value in arrays.items() if key != name}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda a: without(a, "transformer.1.mlp.fc1.bias"), r"'transformer.1.mlp.fc1.bias' is missing \(1 in all\)"),
        (lambda a: without(a, "cls_token"), r"'cls_token' is missing"),
        (lambda a: a | {"zeta": np.zeros(1)}, r"'zeta' is additional \(1 in all\)"),
        (
            lambda a: a | {"m_norms.0.weight": np.zeros(5)},
            r"'m_norms.0.weight' of best.ckpt must have shape \(16,\), as others tell, however: \(5,\)",
        ),
        (
            lambda a: a | {"cls_token": np.full((1, 1, 16), np.nan)},
            r"'cls_token' of best.ckpt .* 16 that are not finite",
        ),
        (lambda a: a | {"prototypes": np.zeros((3, 6), dtype=int)}, r"'prototypes' of best.ckpt .* torch.int64"),
        (
            lambda a: {k.replace("transformer.0.", "transformer.4."): v for k, v in a.items()},
            r"must number the parts of 'transformer.' from 0 on, however: \['1', '4'\]",
        ),
        (
            lambda a: {k.replace("m_encoders.img", "m_encoders.text"): v for k, v in a.items()},
            r"must be a classifier of image and table or of small pictures, however: it has \['m_encoders.tabular",
        ),
    ],
)
def test_parameters_that_do_not_fit_are_named(tmp_path, change, text):
    path = files.write_classifier(tmp_path / "best.ckpt", change(files.classifier_arrays()))
    with pytest.raises(ValueError, match=text):
        load_published(path, field_lengths=files.write_lengths(tmp_path / "lengths.pt"), table_heads=2)


def test_entries_that_are_not_known_are_named(tmp_path):
    arrays = files.classifier_arrays()
    with pytest.raises(ValueError, match=r"known entries only, however: additional \['ema'\]"):
        load_published(files.write_classifier(tmp_path / "best.ckpt", arrays, ema=1))
    torch.save({"weights": 1}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=r"other.ckpt must hold 'state_dict', however: \['weights'\]"):
        load_published(tmp_path / "other.ckpt")
    torch.save({"state_dict": {"a": 3}}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=r"parameters of other.ckpt must be tensors, however: 'a' is int"):
        load_published(tmp_path / "other.ckpt")


@pytest.mark.parametrize(
    ("lengths", "text"),
    [
        ([2, 4, 1, 1, 1, 1], r"with 6 columns and 9 categories in all, however: 6 columns and 6"),
        ([2, 4, 3, 1, 1], r"with 6 columns and 9 categories in all, however: 5 columns and 9"),
        ([2, 1, 4, 3, 1, 1], r"categorical columns first, however: entry 1 is continuous"),
        ([2, 4, 3, 1, 1, "1"], r"list of positive integers, however: list with 1 other entries of 6"),
        ({"a": 1}, r"list of positive integers, however: PlainDict|list of positive integers, however: dict"),
        ([], r"list of positive integers, however: list with 0 other entries of 0"),
    ],
)
def test_field_lengths_must_fit(tmp_path, lengths, text):
    path = files.write_classifier(tmp_path / "best.ckpt", files.classifier_arrays())
    with pytest.raises(ValueError, match=text):
        load_published(path, field_lengths=files.write_lengths(tmp_path / "lengths.pt", lengths), table_heads=2)


@pytest.mark.parametrize("kind", ["tensor", "numpy"])
def test_field_lengths_of_other_kinds(tmp_path, kind):
    lengths = [2, 4, 3, 1, 1, 1]
    stored = torch.tensor(lengths) if kind == "tensor" else [np.int64(length) for length in lengths]
    path = files.write_classifier(tmp_path / "best.ckpt", files.classifier_arrays())
    model = load_published(path, field_lengths=files.write_lengths(tmp_path / "lengths.pt", stored), table_heads=2)
    assert model.network.encoders["table"].cat_cardinalities == (2, 4, 3)


def test_tables_need_field_lengths_and_pictures_no_recovery(tmp_path):
    path = files.write_classifier(tmp_path / "best.ckpt", files.classifier_arrays())
    with pytest.raises(ValueError, match=r"best.ckpt has a table of 6 columns, however: field_lengths=None"):
        load_published(path)
    path = files.write_classifier(tmp_path / "best.ckpt", weights.images_arrays(2), heads=2)
    tip = files.write_tip(tmp_path / "last.ckpt", weights.tip_arrays(1))
    with pytest.raises(ValueError, match=r"needs an image and a table, however: best.ckpt has \['m0', 'm1'\]"):
        load_published(path, recovery=tip)
    with pytest.raises(FileNotFoundError, match=r"no file .*none.ckpt: download it"):
        load_published(tmp_path / "none.ckpt")


def test_recovery_of_another_data_set(tmp_path):
    paths, *_ = write_all(tmp_path)
    paths["recovery"] = files.write_tip(tmp_path / "last.ckpt", weights.tip_arrays(1, layers=(2, 1, 1, 1)))
    with pytest.raises(ValueError, match=r"encoders of classifier and recovery alike, however: .*\[1, 1, 1, 1\]"):
        load_published(**paths, **HEADS)
    arrays = weights.tip_arrays(1, layers=files.LAYERS)
    arrays["encoder_imaging.conv1.weight"] = arrays["encoder_imaging.conv1.weight"][:, :2]
    paths["recovery"] = files.write_tip(tmp_path / "last.ckpt", arrays)
    with pytest.raises(ValueError, match=r"images of one shape, however: \(3, 64, 64\) and \(2, 64, 64\)"):
        load_published(**paths, **HEADS)


def test_tokens_must_be_a_square(tmp_path):
    arrays = files.classifier_arrays()
    arrays["pos_embeddings"] = arrays["pos_embeddings"][:, :-1]
    path = files.write_classifier(tmp_path / "best.ckpt", arrays)
    with pytest.raises(ValueError, match=r"a square number of image tokens, however: 3"):
        load_published(path, field_lengths=files.write_lengths(tmp_path / "lengths.pt"), table_heads=2)
