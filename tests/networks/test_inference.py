"""Networks prepared for prediction: the same results, other arithmetic."""

import copy

import pytest
import torch
from torch import nn

from dymo_med.inferers import Policy, SelectionInferer, build_bank
from dymo_med.networks import have_same_weights, prepare_for_inference
from dymo_med.networks.blocks import TransformerBlock
from dymo_med.recovery import MeanModeRecovery, TIPRecovery
from tests.networks import build, weights

KINDS = [*build.MIXED, (True, "none"), (True, "part")]


def inputs_of(dtype=torch.float32):
    inputs = build.batch(KINDS)
    return {name: x.to(dtype) if x.is_floating_point() else x for name, x in inputs.items()}


def batch_norms(module):
    return [name for name, part in module.named_modules() if isinstance(part, nn.BatchNorm2d)]


@pytest.mark.parametrize("bottleneck", [True, False])
@pytest.mark.parametrize(("fold", "last"), [(True, True), (True, False), (False, True), (False, False)])
def test_every_switch_keeps_the_logits(bottleneck, fold, last):
    network = build.classifier(bottleneck=bottleneck)[0].float().eval()
    prepared = prepare_for_inference(network, fold_batch_norm=fold, channels_last=last)
    with torch.no_grad():
        expected, found = network(**inputs_of()), prepared(**inputs_of())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert batch_norms(network)
    assert bool(batch_norms(prepared)) is not fold
    weight = prepared.encoders["image"].network.layer1[0].conv2.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) is last


def test_folding_in_double_precision_is_exact_to_rounding():
    network = build.classifier()[0].eval()
    with torch.no_grad():
        expected, found = (
            network(**inputs_of(torch.float64)),
            prepare_for_inference(network)(**inputs_of(torch.float64)),
        )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_completed_tables_are_the_same():
    tip = build.tip()[0].float().eval()
    inputs = inputs_of()
    arguments = inputs["image"].nan_to_num(), inputs["table"], inputs["table_missing"]
    with torch.no_grad():
        torch.testing.assert_close(prepare_for_inference(tip)(*arguments), tip(*arguments), rtol=1e-4, atol=1e-5)


def test_the_network_itself_stays_as_it_is():
    network = build.fit_statistics(build.classifier()[0]).train()
    before = copy.deepcopy(network.state_dict())
    prepared = prepare_for_inference(network)
    assert network.training
    assert not prepared.training
    assert not any(parameter.requires_grad for parameter in prepared.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_statistics_travel_along():
    network = build.fit_statistics(build.classifier()[0])
    assert torch.equal(prepare_for_inference(network).statistics.overall, network.statistics.overall)


def test_a_norm_that_does_not_follow_a_convolution_stays():
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)
            self.norm_first = nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 1))
            self.conv_first = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))

    assert batch_norms(prepare_for_inference(Other())) == ["norm", "norm_first.0"]


def test_low_precision_is_near_and_leaves_the_fusion_alone():
    network = build.classifier()[0].float().eval()
    prepared = prepare_for_inference(network, dtype="bfloat16")
    seen = []
    prepared.encoders["image"].network.module.conv1.register_forward_hook(lambda _m, _i, out: seen.append(out.dtype))
    prepared.transformer[0].register_forward_hook(lambda _m, _i, out: seen.append(out.dtype))
    with torch.no_grad():
        expected, found = network(**inputs_of()), prepared(**inputs_of())
    assert seen[0] == torch.bfloat16
    assert set(seen[1:]) == {torch.float32}
    assert found.dtype == torch.float32
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.2)


def test_low_precision_of_tip_completes_tables():
    tip = build.tip()[0].float().eval()
    inputs = inputs_of()
    arguments = inputs["image"].nan_to_num(), inputs["table"], inputs["table_missing"]
    with torch.no_grad():
        expected, found = tip(*arguments), prepare_for_inference(tip, dtype="bfloat16")(*arguments)
    numbers = slice(len(weights.CARDINALITIES), None)
    torch.testing.assert_close(found[:, numbers], expected[:, numbers], rtol=0, atol=0.2)
    observed = ~inputs["table_missing"]
    assert torch.equal(found[observed], inputs["table"][observed])


def test_unknown_formats_are_refused():
    with pytest.raises(ValueError, match=r"dtype must be one of 'float32', 'bfloat16', however: dtype='float16'"):
        prepare_for_inference(nn.Linear(1, 1), dtype="float16")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the compiler's own code
def test_compiled_blocks_give_the_same():
    network = nn.ModuleDict({"block": TransformerBlock(8, 2)}).eval()
    prepared = prepare_for_inference(network, compiled=True)
    assert prepared["block"]._compiled_call_impl is not None
    for n_rows in (3, 5):
        x = torch.randn(n_rows, 4, 8, generator=torch.Generator().manual_seed(n_rows))
        with torch.no_grad():
            torch.testing.assert_close(prepared["block"](x), network["block"](x), rtol=1e-4, atol=1e-5)


def test_same_weights():
    encoder = build.image_encoder()
    twin = copy.deepcopy(encoder)
    assert have_same_weights(encoder, encoder)
    assert have_same_weights(encoder, twin)
    assert not have_same_weights(encoder, copy.deepcopy(encoder).eval())
    assert not have_same_weights(encoder, build.table_encoder())
    assert not have_same_weights(encoder, build.image_encoder(layers=(1, 1, 1, 1)))
    twin.network.layer4[0].bn3.running_mean += 1e-3
    assert not have_same_weights(encoder, twin)


def shared_case():
    """A classifier and a TIP with the very same image encoder, and the number of images that each encodes."""
    network = build.fit_statistics(build.classifier()[0]).eval()
    tip = build.tip()[0].eval()
    tip.encoder_imaging = copy.deepcopy(network.encoders["image"])
    recovery = TIPRecovery(tip)
    return network, recovery, build.count_passes(network.encoders["image"]), build.count_passes(tip.encoder_imaging)


def test_an_encoder_that_both_hold_runs_once():
    network, recovery, by_network, by_recovery = shared_case()
    inputs = inputs_of(torch.float64)
    contents, missing = network.bind(**inputs)
    shared = build_bank(network, contents, missing, [recovery])
    n_images = sum(there for there, _ in KINDS)
    assert (by_network, by_recovery) == ([n_images], [])
    recovery.network.encoder_imaging.network.bn1.num_batches_tracked += 1  # no effect on results, yet no longer equal
    apart = build_bank(network, contents, missing, [recovery])
    n_recovered = sum(there and table != "whole" for there, table in KINDS)
    assert (by_network, by_recovery) == ([n_images, n_images], [n_recovered])
    rows, state = torch.arange(len(KINDS)), torch.tensor([[0, 1]]).expand(len(KINDS), 2)
    for name, tokens in shared.tokens(rows, state).items():
        torch.testing.assert_close(tokens.values, apart.tokens(rows, state)[name].values, rtol=0, atol=1e-9)


def test_sharing_survives_preparation_of_both():
    network, recovery, _, _ = shared_case()
    prepared = prepare_for_inference(network)
    recovery = TIPRecovery(prepare_for_inference(recovery.network))
    passes = build.count_passes(recovery.network.encoder_imaging)
    contents, missing = prepared.bind(**inputs_of(torch.float64))
    build_bank(prepared, contents, missing, [recovery])
    assert passes == []


def test_recoveries_without_an_encoder_share_nothing():
    recovery = MeanModeRecovery("table", weights.CARDINALITIES, weights.N_NUMBERS)
    assert recovery.encoder_of("table") is None
    tip = TIPRecovery(build.tip()[0])
    assert tip.encoder_of("image") is tip.network.encoder_imaging
    assert tip.encoder_of("table") is None


def test_decisions_of_prepared_networks_are_the_same():
    network = build.fit_statistics(build.classifier()[0]).float().eval()
    tip = build.tip()[0].float().eval()
    inputs = inputs_of()
    image = inputs.pop("image")
    decided = []
    for prepare in (lambda part: part, prepare_for_inference):
        inferer = SelectionInferer([TIPRecovery(prepare(tip))], {"greedy": Policy("greedy", "ratio")})
        decided.append(inferer(image, prepare(network), **inputs)["greedy"])
    assert torch.equal(decided[0].trace.variants, decided[1].trace.variants)
    assert 0 < int(decided[0].trace.variants.sum()) < len(KINDS)
    torch.testing.assert_close(decided[0].logits, decided[1].logits, rtol=1e-4, atol=1e-5, equal_nan=True)
