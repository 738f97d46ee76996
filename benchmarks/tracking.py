"""What tracking costs training: CPU and wall time of an engine without a run, and with stores that fail.

    python -m benchmarks.tracking [EPOCHS] [STEPS]

A store that refuses has a closed port; one that hangs takes every connection and answers none. Time is that of the
epochs; the end of the run, when training is over, stands beside it.
"""

import os
import socket
import sys
import tempfile
import time
from pathlib import Path

import torch
from ignite.engine import Engine

from dymo_med.handlers import MLflowMetrics, MLflowRun


def train(store: str | None, n_epochs: int, n_steps: int) -> tuple[float, float, float]:
    """Give seconds of wall and of this process's CPU for the epochs, and of wall for the end of the run."""
    weight = torch.randn(600, 600)

    def step(_: Engine, __: int) -> dict[str, torch.Tensor]:
        return {"loss": (weight @ weight).square().mean()}

    engine = Engine(step)
    with tempfile.TemporaryDirectory() as folder:
        run = None
        if store is not None:
            run = MLflowRun(Path(folder) / "eval" / "train", "benchmark", "train", tracking_uri=store)
            run.attach(engine)
            MLflowMetrics(run, "train/").attach(engine)
        wall, cpu = time.perf_counter(), time.process_time()
        engine.run(range(n_steps), max_epochs=n_epochs)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        end = time.perf_counter()
        if run is not None:
            run.finish()
        return wall, cpu, time.perf_counter() - end


def main(n_epochs: int = 40, n_steps: int = 100) -> None:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    with socket.create_server(("127.0.0.1", 0)) as hanging, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        stores = {
            "no run": None,
            "store refuses": f"http://127.0.0.1:{closed.getsockname()[1]}",
            "store hangs": f"http://127.0.0.1:{hanging.getsockname()[1]}",
        }
        train(None, 2, n_steps)
        print(f"{n_epochs} epochs of {n_steps} steps; seconds")
        print(f"{'':16}{'wall':>8}{'CPU':>8}{'end':>8}")
        for name, store in stores.items():
            wall, cpu, end = train(store, n_epochs, n_steps)
            print(f"{name:16}{wall:8.2f}{cpu:8.2f}{end:8.2f}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
