"""The benchmark of training steps runs, and its variants compute the same step."""

import os

import pytest
import torch

from benchmarks import cases, training
from dymo_med.missingness.subsets import enumerate_subsets
from dymo_med.utils import read_json

pytestmark = pytest.mark.slow


def parameters_after(name, n_steps=2):
    step = training.make_step(name, 4, 2, "cpu", cases.TINY)
    for _ in range(n_steps):
        step()
    return {key: value.detach() for key, value in step.network.named_parameters()}


@pytest.mark.parametrize("name", ["encoded again", "encoded again where used"])
def test_variants_do_the_same_step(name):
    once, other = parameters_after("encoded once"), parameters_after(name)
    assert max(float((value - other[key]).abs().max()) for key, value in once.items()) < 2.5e-4  # Adam: 1e-4 a step
    assert sum(float((value - other[key]).abs().sum()) for key, value in once.items()) < 1


@pytest.mark.parametrize(
    ("name", "factor"), [("encoded once", [1, 1]), ("encoded again", [3, 3]), ("encoded again where used", [2, 2])]
)
def test_variants_encode_as_often_as_they_say(name, factor):
    step = training.make_step(name, 4, 2, "cpu", cases.TINY)
    with cases.counted_rows(step.network.encoders) as rows:
        step.fused(step.network, step.inputs, enumerate_subsets(2))  # image, table, both
    assert list(rows.values()) == [4 * times for times in factor]


def test_batches_are_accumulated():
    step = training.make_step("accumulated, 2 batches", 4, 2, "cpu", cases.TINY)
    with cases.counted_rows(step.network.encoders) as rows:
        step()
    assert set(rows.values()) == {4}
    steps = {int(state["step"]) for state in step.optimizer.state.values()}
    assert steps == {1}


def test_training_writes_and_prints(tmp_path, capsys):
    words = ["--repetitions", "2", "--batch-size", "4", "--output", str(tmp_path / "t.json")]
    words += ["--clock", "processor"]
    training.main([*words, "--only", "encoded once", "bfloat16", "--loader", "8"], cases.TINY)
    found = read_json(tmp_path / "t.json")
    assert found["clock"] == "processor"
    assert list(found["steps"]) == ["encoded once", "bfloat16"]
    assert found["steps"]["bfloat16"]["samples_per_s"] > 0
    assert found["loader"]["loader_over_step"] > 0
    printed = capsys.readouterr().out
    assert "encoded once" in printed
    assert "times the step" in printed


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["encoded once", "channels last", "bfloat16", "float16", "compiled"])
def test_steps_at_real_size_on_a_gpu(name, record_property):
    found = training.measure([name], 128, 2, 5, "cuda", cases.PUBLISHED)[name]
    for key, value in found.items():
        record_property(key, value)
    assert found["samples_per_s"] > 0
    assert 0 < found["step_peak_mib"] < 70_000


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_loader_keeps_a_gpu_busy(record_property):
    step = training.measure(["bfloat16, channels last"], 128, 2, 5, "cuda", cases.PUBLISHED)
    loader = training.measure_loader(2000, os.cpu_count() or 1, 128, cases.PUBLISHED.image_size)
    ratio = loader["samples_per_s"] / step["bfloat16, channels last"]["samples_per_s"]
    for key, value in {**loader, "loader_over_step": ratio}.items():
        record_property(key, value)
    assert ratio > 1
