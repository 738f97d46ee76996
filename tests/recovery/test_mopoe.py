"""Recovery by a multimodal VAE, alone and among others in a bank."""

import pytest
import torch

from dymo_med.inferers import Policy, SelectionInferer, build_bank
from dymo_med.networks.nets import ConvDecoder, ConvEncoder, MoPoE, MultimodalTransformer, PosteriorEncoder
from dymo_med.recovery import MeanModeRecovery, MoPoERecovery
from tests.networks import build, weights
from tests.networks.test_mopoe import MIXED, NAMES, batch, network


def classifier():
    torch.manual_seed(3)
    encoders = {name: ConvEncoder(3, 8, channels=(4, 6)) for name in NAMES}
    return MultimodalTransformer(encoders, 4, dim=8, n_heads=2, embedding_dim=6).eval()


def test_proposals_are_decoded_from_what_was_observed():
    net = network()
    inputs, missing = batch(MIXED)
    for name in NAMES:
        proposal = MoPoERecovery(net, name)(inputs, missing)
        with torch.no_grad():
            decoded = net.decoders[name](net.latent(inputs, missing).mean)
        for row, (gap, exists) in enumerate(zip(missing[name], (True, True, True, False, True), strict=True)):
            assert bool(proposal.available[row]) is exists
            torch.testing.assert_close(proposal.values[row], decoded[row] if gap else inputs[name][row])
    assert proposal.values.isfinite().all()


def test_recovering_leaves_no_gradient_and_no_training_mode():
    recovery = MoPoERecovery(network().train(), "a")
    assert not recovery.network.training
    assert not recovery(*batch(MIXED)).values.requires_grad


def test_posterior_is_inferred_once_for_all_recoveries_of_a_network():
    net, other, calls = network(), network(seed=1), []
    for each, label in ((net, "net"), (other, "other")):
        for name in NAMES:
            each.encoders[name].register_forward_hook(lambda *_, word=label + name: calls.append(word))
    recoveries = [*(MoPoERecovery(net, name) for name in NAMES), _Named(other, "a")]
    network_def = classifier()
    inputs, missing = batch(MIXED)
    _, masks = network_def.bind(*inputs.values(), *missing.values())
    shared = build_bank(network_def, inputs, masks, recoveries)
    assert sorted(calls) == ["neta", "netb", "netc", "othera", "otherb", "otherc"]
    rows, state = torch.arange(len(MIXED)), torch.ones(len(MIXED), 3, dtype=torch.int64)
    for name, tokens in shared.tokens(rows, state).items():
        index = NAMES.index(name)
        alone = MoPoERecovery(net, name)(inputs, missing)
        for row, gaps in enumerate(MIXED):
            if gaps[index] and not all(gaps):
                expected = network_def.encode(name, alone.values[row : row + 1])
                torch.testing.assert_close(tokens.values[row], expected.values[0], rtol=1e-4, atol=1e-5)


class _Named(MoPoERecovery):
    name = "mopoe_other"


def test_sample_without_anything_is_not_recovered():
    network_def = classifier()
    inputs, missing = batch(MIXED)
    inferer = SelectionInferer([MoPoERecovery(network(), name) for name in NAMES], {"all": Policy("fuse_all")})
    first, *rest = inputs.values()
    found = inferer(first, network_def, *rest, *missing.values())["all"]
    assert found.logits.isnan().any(1).tolist() == [False, False, False, True, False]
    assert (found.trace.variants > 0).tolist() == [list(gaps) if not all(gaps) else [False] * 3 for gaps in MIXED]


def test_image_and_table_are_recovered_from_each_other():
    """The cardiac classifier with a recovery for either modality."""
    table_network = PosteriorEncoder(build.table_encoder(), 4, 6)
    image_network = PosteriorEncoder(build.image_encoder(), 4, 6)
    decoder = ConvDecoder(4, 3, weights.IMAGE_SIZE, channels=(4, 6))
    vae = MoPoE({"image": image_network, "table": table_network}, {"image": decoder}, latent_dim=4)
    table = MeanModeRecovery("table", weights.CARDINALITIES, weights.N_NUMBERS)
    table.fill.zero_()
    net = build.fit_statistics(build.classifier()[0].float()).eval()
    inputs = {name: x.float() if x.is_floating_point() else x for name, x in build.batch(build.MIXED).items()}
    policies = {"all": Policy("fuse_all"), "greedy": Policy("greedy", "ratio")}
    inferer = SelectionInferer([MoPoERecovery(vae, "image"), table], policies)
    found = inferer(inputs.pop("image"), net, **inputs)
    assert found["all"].trace.candidate_names == ("mopoe", "mean_mode")
    assert (found["all"].trace.variants[:, 0] > 0).tolist() == [not has_image for has_image, _ in build.MIXED]
    assert found["greedy"].logits.isfinite().all()


def test_target_without_a_decoder_is_refused():
    with pytest.raises(ValueError, match=r"target must be one of \['b'\], .* however: 'a'; train it"):
        MoPoERecovery(network(decoded=("b",)), "a")
