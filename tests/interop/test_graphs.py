"""Exported graphs drive the same selection to the same decisions, without the network."""

import onnxruntime
import pytest
import torch

from dymo_med.interop.graphs import export_graphs
from dymo_med.networks import prepare_for_inference
from dymo_med.networks.nets import ConvEncoder, MultimodalTransformer, TableEncoder
from dymo_med.selection import Fused, TokenBank, Tokens, select
from dymo_med.utils import ICSWeight, Strategy
from tests.networks import build

N_ROWS = 11


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    table = TableEncoder([2, 3], 2, dim=8, n_blocks=1, n_heads=2)
    encoders = {"picture": ConvEncoder(1, 8, channels=[4]), "labs": table}
    net = MultimodalTransformer(encoders, n_classes=3, dim=8, n_blocks=2, n_heads=2, embedding_dim=6)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    statistics = build.fit_statistics(net).statistics
    statistics.std.fill_(20.0)  # wide classes: similarity alone rejects nobody
    statistics.overall *= 0.1  # confidences away from 1
    return net.eval()


@pytest.fixture(scope="module")
def inputs():
    """Observed and proposed content, and what of the former is missing, mixed within the batch."""
    generator = torch.Generator().manual_seed(1)

    def content():
        codes = torch.randint(0, 2, (N_ROWS, 2), generator=generator).float()
        numbers = torch.randn(N_ROWS, 2, generator=generator)
        return {"picture": torch.rand(N_ROWS, 1, 8, 8, generator=generator), "labs": torch.cat([codes, numbers], 1)}

    missing = {
        "picture": (torch.arange(N_ROWS) % 3 == 0).unsqueeze(1).expand(-1, 4),
        "labs": torch.rand(N_ROWS, 4, generator=generator) < 0.5,
    }
    missing["labs"][::3] = False
    missing["labs"][1::3] = True
    return content(), content(), missing


def choose(encode, fuse, statistics, inputs):
    """Select with any pair of ``encode`` and ``fuse``."""
    observed, proposed, missing = inputs
    tokens = {name: encode(name, x, missing[name]) for name, x in observed.items()}
    proposals = {name: {"given": encode(name, x, missing[name] & False)} for name, x in proposed.items()}
    available = {name: {"given": torch.ones(N_ROWS, dtype=torch.bool)} for name in observed}
    bank = TokenBank(tokens, proposals, available)
    return select(fuse, bank, statistics, strategy=Strategy.GREEDY, ics_weight=ICSWeight.RATIO)


def with_absent(tokens, network):
    """A graph takes every modality: one that was left out is there with all of its tokens missing."""
    some = next(iter(tokens.values())).values
    for name in network.modalities:
        n_tokens = network.encoders[name].n_tokens
        blank = Tokens(some.new_zeros(len(some), n_tokens, some.shape[-1]), torch.ones(len(some), n_tokens).bool())
        yield tokens.get(name, blank)


def check(network, inputs, encode, fuse):
    expected = choose(network.encode, network.fuse, network.statistics, inputs)
    found = choose(encode, fuse, network.statistics, inputs)
    accepted = expected.trace.variants > 0
    assert accepted.any()
    assert not accepted[expected.trace.open].all()
    assert torch.equal(found.trace.variants, expected.trace.variants)
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.embedding, expected.embedding, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch reads its own programs by functions it has deprecated
def test_programs_decide_as_the_network_does(network, inputs, tmp_path):
    paths = export_graphs(network, tmp_path)
    assert [path.name for path in paths] == ["encode_picture.pt2", "encode_labs.pt2", "fuse.pt2"]
    programs = {path.stem: torch.export.load(path).module() for path in paths}

    def encode(name, x, missing):
        return Tokens(programs[f"encode_{name}"](x, missing), missing)

    def fuse(tokens):
        parts = list(with_absent(tokens, network))
        return Fused(*programs["fuse"](*(part.values for part in parts), *(part.missing for part in parts)))

    check(network, inputs, encode, fuse)


@pytest.mark.slow
def test_onnx_files_decide_as_the_network_does(network, inputs, tmp_path):
    paths = export_graphs(prepare_for_inference(network), tmp_path, form="onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encode_labs.onnx", "encode_picture.onnx", "fuse.onnx"]
    sessions = {p.stem: onnxruntime.InferenceSession(p, providers=["CPUExecutionProvider"]) for p in paths}
    assert [each.name for each in sessions["encode_labs"].get_inputs()] == ["x", "missing"]
    names = ["picture_values", "labs_values", "picture_missing", "labs_missing"]
    assert [each.name for each in sessions["fuse"].get_inputs()] == names
    assert [each.name for each in sessions["fuse"].get_outputs()] == ["logits", "embedding"]

    def run(name, **given):
        outputs = sessions[name].run(None, {key: value.numpy() for key, value in given.items()})
        return [torch.from_numpy(output) for output in outputs]

    def encode(name, x, missing):
        return Tokens(run(f"encode_{name}", x=x, missing=missing)[0], missing)

    def fuse(tokens):
        parts = dict(zip(network.modalities, with_absent(tokens, network), strict=True))
        values = {f"{name}_values": part.values for name, part in parts.items()}
        return Fused(*run("fuse", **values, **{f"{name}_missing": part.missing for name, part in parts.items()}))

    check(network, inputs, encode, fuse)


@pytest.mark.slow
def test_a_program_holds_the_weights_of_its_own_part_only(network, tmp_path):
    network = network.train()
    paths = export_graphs(network, tmp_path)
    assert network.training
    names = {path.stem: set(torch.export.load(path).state_dict) for path in paths}
    assert not any(".labs." in name or "transformer.0" in name for name in names["encode_picture"])
    assert any("encoders.labs." in name for name in names["encode_labs"])
    assert not any("encoders." in name for name in names["fuse"])
    assert any("transformer.0" in name for name in names["fuse"])


def test_unknown_forms_are_refused(network, tmp_path):
    with pytest.raises(ValueError, match=r"form must be one of 'pt2', 'onnx', however: form='pth'"):
        export_graphs(network, tmp_path, form="pth")
    assert list(tmp_path.iterdir()) == []
