"""Time of a training step, against steps that encode again for every subset, and in other number formats.

``make benchmark-training``; ``--help`` lists the options. Networks have the published sizes and random weights; all
steps draw the same subsets. Writes ``runs/benchmarks/training.json`` and prints a table. ``--device cuda`` measures a
GPU; ``--loader`` measures the training loader of the bundle too.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigWorkflow

from benchmarks.cases import PUBLISHED, Sizes, cardiac_batch, cardiac_network
from benchmarks.throughput import CONFIGS, random_cohort
from benchmarks.timing import interleaved, machine, summary
from dymo_med.losses import PrototypeLoss
from dymo_med.missingness.subsets import sample_subsets
from dymo_med.networks import prepare_for_training
from dymo_med.networks.nets import MultimodalTransformer
from dymo_med.selection import Fused
from dymo_med.utils import write_json

Inputs = dict[str, torch.Tensor]


@dataclass
class Step:
    """One way to do a training step: forward, backward, Adam; every call draws the next subsets."""

    network: MultimodalTransformer
    inputs: Inputs
    n_subsets: int
    fused: Callable[[MultimodalTransformer, Inputs, torch.Tensor], Fused]
    dtype: torch.dtype = torch.float32
    n_batches: int = 1
    generator: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))

    def __post_init__(self) -> None:
        """Make what a training has beside its network."""
        device = self.inputs["image"].device
        self.label = torch.arange(len(self.inputs["image"]), device=device) % 2
        self.loss = PrototypeLoss()
        self.loss.prototypes = torch.nn.functional.normalize(torch.randn_like(self.network.prototypes), dim=-1)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-4)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype is torch.float16)

    def __call__(self) -> None:
        """Do it."""
        n, device = self.n_batches, self.inputs["image"].device
        self.optimizer.zero_grad()
        for index in range(n):
            subsets = sample_subsets(len(self.network.modalities), self.n_subsets, self.generator)
            part = {name: x.tensor_split(n)[index] for name, x in self.inputs.items()}
            with torch.autocast(device.type, self.dtype, enabled=self.dtype is not torch.float32):
                loss = self.loss(self.fused(self.network, part, subsets), self.label.tensor_split(n)[index])
            self.scaler.scale(loss / n).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()


def encoded_once(network: MultimodalTransformer, inputs: Inputs, subsets: torch.Tensor) -> Fused:
    """Encode a batch once and fuse every subset, as the bundles do."""
    fused: Fused = network(**inputs, subsets=subsets)
    return fused


def encoded_again(network: MultimodalTransformer, inputs: Inputs, subsets: torch.Tensor) -> Fused:
    """Run the whole network for every subset, as the published code does: encode all, hide what is not in it."""
    results = []
    for subset in subsets.tolist():
        tokens = {}
        for name, is_used in zip(network.modalities, subset, strict=True):
            encoder, x = network.encoders[name], inputs[name]
            missing = torch.zeros(len(x), encoder.n_tokens, dtype=torch.bool, device=x.device)
            tokens[name] = network.project(name, encoder(x, missing), missing | (not is_used))
        results.append(network.fuse_static(tokens))
    return _stacked(results)


def encoded_again_where_used(network: MultimodalTransformer, inputs: Inputs, subsets: torch.Tensor) -> Fused:
    """Run for every subset the encoders of its own modalities only."""
    results = []
    for subset in subsets.tolist():
        used = [name for name, is_used in zip(network.modalities, subset, strict=True) if is_used]
        results.append(network.fuse({name: network.encode(name, inputs[name]) for name in used}))
    return _stacked(results)


def _stacked(results: list[Fused]) -> Fused:
    return Fused(torch.stack([each.logits for each in results]), torch.stack([each.embedding for each in results]))


VARIANTS: dict[str, dict[str, Any]] = {
    "encoded once": {"fused": encoded_once},
    "encoded again": {"fused": encoded_again},
    "encoded again where used": {"fused": encoded_again_where_used},
    "channels last": {"fused": encoded_once, "channels_last": True},
    "bfloat16": {"fused": encoded_once, "dtype": torch.bfloat16},
    "bfloat16, channels last": {"fused": encoded_once, "dtype": torch.bfloat16, "channels_last": True},
    "float16": {"fused": encoded_once, "dtype": torch.float16},
    "accumulated, 2 batches": {"fused": encoded_once, "n_batches": 2},
    "compiled": {"fused": encoded_once, "compiled": True},
}
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "processor": time.process_time}
N_WARM_UPS = 4
"""Steps before the first that counts: a compiled network compiles for every way in which subsets share a batch."""
NAIVE = ["encoded once", "encoded again", "encoded again where used"]


def make_step(name: str, batch_size: int, n_subsets: int, device: str, sizes: Sizes) -> Step:
    """Make one of :data:`VARIANTS`; all have the same weights and samples."""
    torch.manual_seed(0)
    options = dict(VARIANTS[name])
    prepared = {key: options.pop(key, False) for key in ("channels_last", "compiled")}
    network = prepare_for_training(cardiac_network(sizes), **prepared).to(device).train()
    inputs = {key: x.to(device) for key, x in cardiac_batch(sizes, batch_size).items()}
    return Step(network, inputs, n_subsets, **options)


def peak_mib(step: Step) -> int | None:
    """Give the most GPU memory that a step takes beyond what there is before it; None on a CPU."""
    if not step.inputs["image"].is_cuda:
        return None
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    return round((torch.cuda.max_memory_allocated() - before) / 2**20)


def measure(
    names: list[str],
    batch_size: int,
    n_subsets: int,
    repetitions: int,
    device: str,
    sizes: Sizes,
    clock: str = "wall",
) -> dict[str, Any]:
    """Measure variants in turns: time, samples per second, memory."""
    steps = {name: make_step(name, batch_size, n_subsets, device, sizes) for name in names}
    seconds = interleaved(dict(steps), repetitions, n_warm_ups=N_WARM_UPS, clock=CLOCKS[clock])
    results = {}
    for name in names:
        times = summary(seconds[name])
        rate = round(1e3 * batch_size / times["median_ms"], 2)
        results[name] = {**times, "samples_per_s": rate, "step_peak_mib": peak_mib(steps[name])}
    return results


def measure_loader(n_subjects: int, n_workers: int, batch_size: int, image_size: int) -> dict[str, Any]:
    """Read and augment one epoch of random subjects by the bundle's own loader."""
    with tempfile.TemporaryDirectory() as folder:
        cohort = random_cohort(Path(folder), n_subjects, image_size)
        workflow = ConfigWorkflow(
            str(CONFIGS / "train.yaml"),
            workflow_type="train",
            logging_file=False,
            bundle_root=folder,
            dataset_dir=str(cohort.folder),
            batch_size=batch_size,
            num_workers=n_workers,
        )
        workflow.initialize()
        loader = workflow.parser.get_parsed_content("train::dataloader")
        start, n = time.perf_counter(), 0
        for batch in loader:
            n += len(batch["image"])
        return {"workers": n_workers, "samples_per_s": round(n / (time.perf_counter() - start), 1)}


def main(arguments: list[str] | None = None, sizes: Sizes = PUBLISHED) -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=NAIVE)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--subsets", type=int, default=2, help="subsets drawn in each step")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="processor: on a CPU that others use too")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
    parser.add_argument("--loader", type=int, default=0, help="subjects of the loader's epoch; 0 leaves it out")
    parser.add_argument("--workers", type=int, default=0, help="of the loader")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks/training.json"))
    options = parser.parse_args(arguments)
    shape = (options.batch_size, options.subsets, options.repetitions)
    results = measure(options.only, *shape, options.device, sizes, options.clock)
    for name, found in results.items():
        line = f"{name:<26}{found['median_ms']:>10.1f} ms{found['samples_per_s']:>10.2f} samples/s"
        memory = "" if found["step_peak_mib"] is None else f"{found['step_peak_mib']:>8} MiB"
        print(line + memory, flush=True)
    content = {"machine": machine(), "clock": options.clock, "batch_size": options.batch_size}
    content |= {"subsets": options.subsets, "steps": results}
    if options.loader:
        loader = measure_loader(options.loader, options.workers, options.batch_size, sizes.image_size)
        ratio = loader["samples_per_s"] / results[options.only[0]]["samples_per_s"]
        content["loader"] = {**loader, "loader_over_step": round(ratio, 2)}
        print(f"{'loader':<26}{'':>13}{loader['samples_per_s']:>10.2f} samples/s, {ratio:.1f} times the step")
    write_json(options.output, content)


if __name__ == "__main__":
    main()
