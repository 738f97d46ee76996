"""Own weights in the published form, and back."""

import pytest
import torch

from dymo_med.interop import export_published, load_published
from dymo_med.interop.archive import TorchFile
from dymo_med.networks.nets import MultimodalTransformer, TableEncoder
from tests.interop import files
from tests.networks import build, weights

HEADS = {"table_heads": 2}
ALL = [
    "checkpoint_best_auc.ckpt",
    "subset_gaussian.pt",
    "tabular_lengths_reordered.pt",
    "checkpoint_last_epoch_499.ckpt",
]


def own_pair(metric="cosine"):
    torch.manual_seed(3)
    network = build.new_classifier(metric, layers=(1, 1, 1, 1))
    for parameter in [*network.parameters(), *network.buffers()]:
        if parameter.is_floating_point():
            parameter.data.uniform_(0.05, 0.15)
    network.statistics.is_fitted.fill_(True)
    network.statistics.set_prevalence([0.7, 0.2, 0.1], [1 / 3] * 3)
    tip = build.tip()[0].float()
    return network, tip


@pytest.mark.parametrize("metric", ["cosine", "squared_euclidean"])
def test_round_trip_changes_no_tensor(tmp_path, metric):
    network, tip = own_pair(metric)
    written = export_published(network, tmp_path, recovery=tip)
    gaussian = "subset_gaussian.pt" if metric == "cosine" else "subset_gaussian_EU.pt"
    assert written == [ALL[0], gaussian, *ALL[2:]]
    model = load_published(
        tmp_path / ALL[0],
        statistics=tmp_path / gaussian,
        recovery=tmp_path / ALL[3],
        field_lengths=tmp_path / ALL[2],
        tip_heads=4,
        **HEADS,
    )
    assert model.network.metric == metric
    for own, back in ((network, model.network), (tip, model.recovery.network)):
        state = back.state_dict()
        assert state.keys() == own.state_dict().keys()
        for name, value in own.state_dict().items():
            assert torch.equal(state[name], value), name
            assert state[name].dtype == value.dtype


def test_files_are_plain_and_have_the_published_names(tmp_path):
    network, tip = own_pair()
    export_published(network, tmp_path, recovery=tip, dataset="Infarction")
    content = torch.load(tmp_path / ALL[0], weights_only=True)
    assert content["state_dict"].keys() == weights.classifier_arrays(layers=files.LAYERS).keys()
    assert content["hyper_parameters"]["dataset_name"] == "Infarction"
    assert content["hyper_parameters"]["Infarction"]["transformer_heads"] == 4
    recovered = torch.load(tmp_path / ALL[3], weights_only=True)["state_dict"].keys()
    assert weights.tip_arrays(layers=files.LAYERS).keys() <= recovered
    assert torch.load(tmp_path / ALL[2], weights_only=True) == [2, 4, 3, 1, 1, 1]
    gaussian = TorchFile(tmp_path / ALL[1]).content
    assert gaussian["id2subset"] == {0: (False, True), 1: (True, False), 2: (False, False)}
    assert gaussian["subset2id"][True, False] == 1


def test_statistics_are_left_out_where_there_are_none(tmp_path):
    network, _ = own_pair()
    network.statistics.is_fitted.fill_(False)
    assert export_published(network, tmp_path) == [ALL[0], ALL[2]]


def test_converted_classifiers_of_small_pictures(tmp_path):
    path = files.write_classifier(tmp_path / "best.ckpt", weights.images_arrays(3), dataset="PolyMNIST", heads=2)
    network = load_published(path).network
    assert export_published(network, tmp_path / "out", dataset="PolyMNIST") == [ALL[0]]
    back = load_published(tmp_path / "out" / ALL[0]).network
    for name, value in network.state_dict().items():
        torch.testing.assert_close(back.state_dict()[name], value, rtol=0, atol=0, equal_nan=True, msg=name)
    assert back.statistics.prevalence.isnan().all()  # unknown, as published files do not tell
    network.projections["m1"].weight.data[0, 1] = 0.5
    with pytest.raises(ValueError, match=r"must be the identity, .* that of 'm1' is not, shape \(8, 8\)"):
        export_published(network, tmp_path / "out")


def test_other_modalities_have_no_published_form(tmp_path):
    encoder = TableEncoder([2], 1, dim=8, n_blocks=1, n_heads=2)
    network = MultimodalTransformer({"labs": encoder}, 2, dim=8, n_heads=2, embedding_dim=4)
    with pytest.raises(ValueError, match=r"must be \('image', 'table'\) or .* however: \('labs',\)"):
        export_published(network, tmp_path)
    assert list(tmp_path.iterdir()) == []
