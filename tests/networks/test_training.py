"""Networks prepared for training: BatchNorm over processes, mixed precision, other layouts of the same weights."""

import functools

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from torch import nn

from dymo_med.losses import PrototypeLoss
from dymo_med.networks import mixed_dtype, prepare_for_training
from dymo_med.networks.blocks.batch_norm import SynchronizedBatchNorm2d
from dymo_med.networks.nets import ImageEncoder
from tests.networks import build
from tests.processes import in_processes


def encoder(seed=0):
    torch.manual_seed(seed)
    return ImageEncoder(3, 32, block="basic", layers=[1] * 4, channels=[4, 4, 8, 8])


def norm(**options):
    torch.manual_seed(1)
    module = nn.BatchNorm2d(3, **options)
    if module.affine:
        nn.init.normal_(module.weight)
        nn.init.normal_(module.bias)
    return module


def pass_twice(module, x):
    """Output and gradients of the second of two passes; the loss tells samples and channels apart."""
    for _ in range(2):
        own = x.clone().requires_grad_()
        module.zero_grad()
        output = module(own)
        (output * (own.detach() + 1)).square().sum().backward()
    return output, own.grad, [parameter.grad for parameter in module.parameters()], list(module.buffers())


@pytest.mark.parametrize("sizes", [(4, 4), (6, 2), (8, 0)])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_norm_over_processes_is_that_of_the_whole_batch(tmp_path, sizes, momentum):
    x = torch.randn(8, 3, 5, 4, generator=torch.Generator().manual_seed(2)) * 3 + 10
    parts = x.split(sizes)
    found = in_processes(
        lambda rank: pass_twice(SynchronizedBatchNorm2d(norm(momentum=momentum)), parts[rank]), tmp_path / "store"
    )
    output, grad, of_parameters, buffers = pass_twice(norm(momentum=momentum), x)
    np.testing.assert_allclose(np.concatenate([part[0] for part in found]), output.detach(), atol=1e-5)
    np.testing.assert_allclose(np.concatenate([part[1] for part in found]), grad, atol=2e-4)
    for index, expected in enumerate(of_parameters):  # parallel training adds up what the processes have
        np.testing.assert_allclose(sum(part[2][index] for part in found), expected, rtol=1e-4)
    for part in found:
        for ours, theirs in zip(part[3], buffers, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_batch_norm_in_evaluation_talks_to_nobody(tmp_path):
    def evaluate(rank):
        module = SynchronizedBatchNorm2d(norm()).eval()
        return module(torch.full((rank + 1, 3, 1, 1), 2.0)) if rank else None  # the other one would wait for ever

    assert in_processes(evaluate, tmp_path / "store")[1].shape == (2, 3, 1, 1)


def test_batch_norm_of_one_process_is_torchs():
    x = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(2))
    for ours, theirs in zip(pass_twice(SynchronizedBatchNorm2d(norm()), x), pass_twice(norm(), x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_processes_prepare_the_same_weights_and_wait_for_each_other(tmp_path):
    """One process has no image at all in its batch: it takes part in the BatchNorm of the others all the same."""
    kinds = [[(True, "whole"), (True, "part"), (True, "whole")], [(False, "whole"), (False, "part"), (False, "whole")]]

    def step(rank):
        network, _ = build.classifier()
        names = list(network.state_dict())
        prepared = prepare_for_training(network)
        assert prepared is network
        assert list(network.state_dict()) == names
        n_norms = sum(isinstance(module, SynchronizedBatchNorm2d) for module in network.modules())
        inputs = build.batch(kinds[rank])
        inputs = {name: x.nan_to_num() if x.is_floating_point() else x for name, x in inputs.items()}
        fused = network.train()(**inputs, subsets=network.subsets)
        PrototypeLoss().double()(fused, torch.tensor([0, 1, 2])).backward()
        gradients = [parameter.grad for parameter in network.encoders["image"].parameters()]
        return n_norms, [0.0 if grad is None else float(grad.abs().sum()) for grad in gradients]

    with_images, without = in_processes(step, tmp_path / "store")
    assert with_images[0] == without[0] > 0
    assert sum(with_images[1]) > 0
    assert sum(without[1]) == 0


def test_channels_last_changes_the_layout_alone():
    plain, other = encoder(), prepare_for_training(encoder(), channels_last=True)
    weight = other.network.layer1[0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    x, missing = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 1).bool()
    torch.testing.assert_close(other(x, missing), plain(x, missing), rtol=1e-4, atol=1e-5)
    assert all(
        torch.equal(value, other.state_dict()[name])
        for name, value in encoder().state_dict().items()
        if "running" not in name and "num_batches" not in name
    )


def test_compiled_blocks_compute_the_same_and_keep_their_names(monkeypatch):
    compiled = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: compiled.append((self, options)))
    network, _ = build.classifier()
    names = list(network.state_dict())
    prepare_for_training(network, compiled=True)
    assert network.encoders["image"].network in [module for module, _ in compiled]
    assert {options["dynamic"] for _, options in compiled} == {True}
    assert len(compiled) > 2
    assert list(network.state_dict()) == names


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_needs_a_gpu(precision):
    assert mixed_dtype(precision, "cuda:1") is getattr(torch, precision)
    assert mixed_dtype("float32", "cpu") is torch.float32
    with pytest.raises(
        ValueError, match=rf"needs a GPU, however: precision='{precision}' on device 'cpu'; use float32"
    ):
        mixed_dtype(precision, torch.device("cpu"))
    with pytest.raises(
        ValueError, match=r"precision must be one of 'float32', 'bfloat16', 'float16', however: .*'half'"
    ):
        mixed_dtype("half", "cpu")


def trained(n_steps, **options):
    """Loss and parameters after some steps on one batch, by MONAI's trainer."""
    torch.manual_seed(0)
    network, _ = build.classifier()
    network = network.float()
    inputs = build.batch([(True, "whole"), (True, "part"), (False, "whole"), (True, "none")])
    inputs = {name: x.nan_to_num().float() if x.is_floating_point() else x for name, x in inputs.items()}
    loss = PrototypeLoss()
    loss.prototypes = torch.nn.functional.normalize(torch.randn(3, 6), dim=-1)
    losses = []
    trainer = SupervisedTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=[torch.tensor([0, 1, 2, 0])] * n_steps,
        network=network,
        optimizer=torch.optim.Adam(network.parameters(), lr=0.01),
        loss_function=loss,
        inferer=lambda _, net: net(**inputs, subsets=net.subsets),
        prepare_batch=lambda label, *_, **__: (label, label),
        decollate=False,
        iteration_update=None,
        **options,
    )
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda each: losses.append(each.state.output["loss"].item()))
    trainer.run()
    return losses, network, trainer


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_learns_as_float32_does(monkeypatch, dtype):
    """What MONAI's trainer does on a GPU, computed by a CPU: its autocast and its scaler name the device."""
    expected, _, _ = trained(8)
    autocast, scaler = torch.autocast, torch.amp.GradScaler
    seen = []

    def on_cpu(device, **options):
        seen.append((device, options["dtype"]))
        return autocast("cpu", **options)

    monkeypatch.setattr(torch, "autocast", on_cpu)
    monkeypatch.setattr(torch.cuda.amp, "GradScaler", functools.partial(scaler, "cpu", init_scale=256.0))
    found, network, trainer = trained(8, amp=True, amp_kwargs={"dtype": dtype})
    assert set(seen) == {("cuda", dtype)}
    assert trainer.scaler.is_enabled()
    assert found[0] == pytest.approx(expected[0], rel=0.05)
    assert found[0] != expected[0]  # it was not computed in float32
    assert found[-1] < 0.8 * found[0]
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_accumulated_batches_are_one_step():
    _, once, _ = trained(1)
    _, twice, trainer = trained(2, accumulation_steps=2)
    assert trainer.state.iteration == 2
    for name, value in once.named_parameters():
        torch.testing.assert_close(dict(twice.named_parameters())[name], value, rtol=0, atol=2e-3)
