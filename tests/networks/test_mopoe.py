"""MoPoE against a slow NumPy implementation of products and mixtures of Gaussians."""

import itertools

import numpy as np
import pytest
import torch

from dymo_med.inferers import MoPoEInferer
from dymo_med.losses import MoPoELoss
from dymo_med.networks.nets import ConvDecoder, ConvEncoder, ImageEncoder, MoPoE, PosteriorEncoder, TableEncoder
from dymo_med.networks.nets.mopoe import Gaussians, product_of_experts
from dymo_med.utils import load_weights, save_weights

NAMES = ("a", "b", "c")
SUBSETS = [set(s) for size in (1, 2, 3) for s in itertools.combinations(range(3), size)]


def network(names=NAMES, decoded=NAMES, seed=0):
    torch.manual_seed(seed)
    encoders = {name: PosteriorEncoder(ConvEncoder(3, 8, channels=(4, 6), pooled=False), 5, 7) for name in names}
    return MoPoE(encoders, {name: ConvDecoder(5, 3, 8, channels=(4, 6)) for name in decoded}, latent_dim=5)


def batch(missing, seed=1):
    generator = torch.Generator().manual_seed(seed)
    inputs = {name: torch.rand(len(missing), 3, 8, 8, generator=generator) for name in NAMES}
    return inputs, {name: torch.tensor([row[index] for row in missing]) for index, name in enumerate(NAMES)}


MIXED = [(False, False, False), (True, False, False), (False, True, True), (True, True, True), (False, True, False)]


def product(experts, members, n_modalities):
    """One product for one sample: the density of each expert on a grid of sums of squares, completed to a square."""
    precision, weighted = np.zeros(5), np.zeros(5)
    if len(members) in (0, n_modalities):
        precision += 1  # the prior: mean 0, variance 1
    for index in members:
        mean, log_variance = experts[index]
        precision += 1 / np.exp(log_variance)
        weighted += mean / np.exp(log_variance)
    return weighted / precision, 1 / precision


def expert_of(net, name, image):
    with torch.no_grad():
        found = net.encoders[name](image.unsqueeze(0), torch.zeros(1, 4, dtype=torch.bool))
    return tuple(part.squeeze(0).double().numpy() for part in found)


def test_published_sizes():
    net = MoPoE(
        {f"m{index}": PosteriorEncoder(ConvEncoder(pooled=False)) for index in range(5)},
        {f"m{index}": ConvDecoder() for index in range(5)},
    )
    assert sum(parameter.numel() for parameter in net.decoders["m0"].parameters()) == 1_143_747
    assert sum(parameter.numel() for parameter in net.parameters()) == 14_056_975


def test_every_posterior_agrees_with_the_slow_product():
    net = network().eval()
    inputs, missing = batch(MIXED)
    with torch.no_grad():
        output = net(inputs, missing, component=torch.zeros(5, dtype=torch.int64), noise=torch.zeros(5, 5))
        latent = net.latent(inputs, missing)
    for row, gaps in enumerate(MIXED):
        experts = {i: expert_of(net, name, inputs[name][row]) for i, name in enumerate(NAMES) if not gaps[i]}
        for code, subset in enumerate(SUBSETS):
            seen = subset & experts.keys()
            mean, variance = product(experts, seen, 3)
            assert bool(output.posteriors.exists[row, code]) == bool(seen)
            np.testing.assert_allclose(output.posteriors.mean[row, code], mean, atol=1e-5)
            np.testing.assert_allclose(output.posteriors.log_variance[row, code].exp(), variance, rtol=1e-5)
        mean, variance = product(experts, experts.keys(), 3)
        np.testing.assert_allclose(latent.mean[row], mean, atol=1e-5)
        np.testing.assert_allclose(latent.log_variance[row].exp(), variance, rtol=1e-5)


def test_posterior_of_a_single_expert_is_the_expert():
    experts = Gaussians(torch.randn(4, 3, 5), torch.randn(4, 3, 5), torch.ones(4, 3, dtype=torch.bool))
    alone = product_of_experts(experts, torch.eye(3, dtype=torch.bool).expand(4, 3, 3))
    torch.testing.assert_close(alone.mean, experts.mean)
    torch.testing.assert_close(alone.log_variance, experts.log_variance)


@pytest.mark.parametrize("content", [torch.nan, 1e6])
def test_missing_content_is_never_read(content):
    net = network().eval()
    inputs, missing = batch(MIXED)
    other = {
        name: torch.where(missing[name].reshape(-1, 1, 1, 1), torch.full_like(image, content), image)
        for name, image in inputs.items()
    }
    with torch.no_grad():
        torch.testing.assert_close(net.latent(other, missing).mean, net.latent(inputs, missing).mean, rtol=0, atol=0)


def test_batch_of_one_is_a_row_of_a_batch():
    net = network().eval()
    inputs, missing = batch(MIXED)
    with torch.no_grad():
        together = net.latent(inputs, missing)
        for row in range(len(MIXED)):
            one = {name: image[row : row + 1] for name, image in inputs.items()}
            alone = net.latent(one, {name: mask[row : row + 1] for name, mask in missing.items()})
            torch.testing.assert_close(alone.mean[0], together.mean[row], rtol=1e-5, atol=1e-6)


def test_encoders_run_once_on_present_samples_only():
    net, calls = network().eval(), []
    for name in NAMES:
        net.encoders[name].register_forward_hook(lambda _, inputs, __: calls.append(len(inputs[0])))
    inputs, missing = batch(MIXED)
    net(inputs, missing, component=torch.arange(5), noise=torch.zeros(5, 5))
    assert calls == [3, 2, 3]


def test_drawn_latent_vector_is_that_of_its_component():
    net = network().eval()
    inputs, missing = batch(MIXED)
    noise = torch.randn(5, 5)
    component = torch.tensor([4, 0, 2, 5, 6])
    with torch.no_grad():
        output = net(inputs, missing, component=component, noise=noise)
    for row, code in enumerate((4, 6, 6, 6, 6)):  # nothing of subsets 0, 2 and 5 was observed: all that was
        z = output.posteriors.mean[row, code] + noise[row] * (output.posteriors.log_variance[row, code].exp().sqrt())
        with torch.no_grad():
            torch.testing.assert_close(output.reconstructions["b"][row], net.decoders["b"](z), rtol=1e-4, atol=1e-5)


def test_loss_is_that_of_a_loop():
    net = network()
    inputs, missing = batch(MIXED)
    with torch.no_grad():
        output = net(inputs, missing, component=torch.arange(5), noise=torch.randn(5, 5))
    posteriors = output.posteriors
    error, divergence = 0.0, 0.0
    for row, gaps in enumerate(MIXED):
        for index, name in enumerate(NAMES):
            if not gaps[index]:
                error += float((output.reconstructions[name][row] - inputs[name][row]).abs().sum()) / 0.75 / 5
        existing = [code for code in range(7) if posteriors.exists[row, code]]
        for code in existing:
            mean, log_variance = posteriors.mean[row, code], posteriors.log_variance[row, code]
            one = torch.distributions.Normal(mean, (log_variance / 2).exp())
            prior = torch.distributions.Normal(torch.zeros(5), torch.ones(5))
            divergence += float(torch.distributions.kl_divergence(one, prior).sum()) / len(existing) / 5
    prediction = {
        "reconstructions": output.reconstructions,
        "targets": {name: torch.where(missing[name].reshape(-1, 1, 1, 1), torch.nan, x) for name, x in inputs.items()},
        "missing": missing,
        "mean": posteriors.mean,
        "log_variance": posteriors.log_variance,
        "exists": posteriors.exists,
    }
    loss = MoPoELoss(beta=2.5)
    assert float(loss(prediction)) == pytest.approx(error + 2.5 * divergence, rel=1e-5)
    assert float(loss.terms(prediction)["divergence"]) == pytest.approx(divergence, rel=1e-5)


def test_training_goes_down_and_every_weight_learns():
    net, inferer, loss = network(), MoPoEInferer(NAMES, 5, seed=2), MoPoELoss(beta=0.1)
    inputs, missing = batch([(False, False, False)] * 14)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    before = {name: value.clone() for name, value in net.named_parameters()}
    losses = []
    for _ in range(40):
        first, *rest = (inputs[name] for name in NAMES)
        named = dict(zip(NAMES[1:], rest, strict=True)) | {f"{name}_missing": missing[name] for name in NAMES}
        value = loss(inferer(first, net, **named))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(float(value.detach()))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert all(not torch.equal(value, before[name]) for name, value in net.named_parameters())


def test_weights_survive_a_round_trip(tmp_path):
    net, other = network(seed=0), network(seed=1)
    save_weights(tmp_path / "vae.pt", net.state_dict())
    other.load_state_dict(load_weights(tmp_path / "vae.pt"))
    inputs, missing = batch(MIXED)
    with torch.no_grad():
        assert torch.equal(net.latent(inputs, missing).mean, other.latent(inputs, missing).mean)


def test_evidence_may_be_of_any_kind():
    """An image recovered from a table, as in the cardiac bundles; cells of the table may be missing one by one."""
    image = ImageEncoder(3, 32, block="basic", layers=[1] * 4, channels=[4, 4, 6, 8])
    table = TableEncoder([3], 2, dim=8, n_blocks=1, n_heads=2)
    encoders = {"image": PosteriorEncoder(image, 4, 6), "table": PosteriorEncoder(table, 4, 6)}
    net = MoPoE(encoders, {"image": ConvDecoder(4, 3, 32, channels=(4, 6, 8))}, latent_dim=4).eval()
    inputs = {"image": torch.rand(2, 3, 32, 32), "table": torch.tensor([[1.0, 0.5, torch.nan], [2.0, 0.1, 0.2]])}
    missing = {
        "image": torch.tensor([True, True]),
        "table": torch.tensor([[False, False, True], [True, True, True]]),
    }
    with torch.no_grad():
        latent = net.latent(inputs, missing)
        assert net.decoders["image"](latent.mean).shape == (2, 3, 32, 32)
    assert latent.exists.tolist() == [True, False]
    assert latent.mean[0].isfinite().all()
    assert not latent.mean[0].equal(latent.mean[1])
    assert latent.mean[1].tolist() == latent.log_variance[1].tolist() == [0.0] * 4  # the prior


@pytest.mark.parametrize(("size", "channels"), [(28, (4, 6, 8)), (9, (3, 5)), (32, (2, 2, 2, 2)), (13, (4,))])
def test_decoder_mirrors_the_encoder(size, channels):
    encoder = ConvEncoder(2, size, channels=channels, pooled=False)
    tokens = encoder(torch.zeros(1, 2, size, size), torch.zeros(1, encoder.n_tokens, dtype=torch.bool))
    decoder = ConvDecoder(3, 2, size, channels=channels)
    assert tokens.shape[1:] == (decoder.first_shape[1] ** 2, decoder.first_shape[0])
    assert decoder(torch.zeros(2, 4, 3)).shape == (2, 4, 2, size, size)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: network(names=()), r"needs encoders .* however: encoders=\[\], decoders=\['a', 'b', 'c'\]"),
        (lambda: network(decoded=()), r"decoders=\[\]"),
        (lambda: network(decoded=("z",)), r"decoders=\['z'\]; name both alike"),
        (lambda: MoPoE(network().encoders, network().decoders, latent_dim=0), "latent_dim=0"),
        (lambda: PosteriorEncoder(ConvEncoder(), hidden_dim=0), "hidden_dim=0"),
        (lambda: ConvDecoder(4, 3, 28, channels=()), "after 0 halvings .* image_size=28 leaves 28"),
        (lambda: ConvDecoder(4, 3, 2, channels=(2, 2)), "image_size=2 leaves 1"),
        (lambda: ConvDecoder(4, 3, 28, channels=(2, 0)), r"channels\[1\]=0"),
        (lambda: MoPoELoss(beta=0), "beta=0"),
        (lambda: MoPoELoss(scale=-1), "scale=-1"),
    ],
)
def test_what_does_not_fit_is_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_absent_items_are_named():
    net = network()
    inputs, missing = batch(MIXED)
    with pytest.raises(KeyError, match=r"inputs must hold 'c', however: inputs holds \['a', 'b'\]"):
        net.latent({name: inputs[name] for name in "ab"}, missing)
    with pytest.raises(KeyError, match="missing must hold 'a'"):
        net.latent(inputs, {})
    with pytest.raises(TypeError, match=r"missing\['a'\] must be boolean"):
        net.latent(inputs, {name: mask.float() for name, mask in missing.items()})
