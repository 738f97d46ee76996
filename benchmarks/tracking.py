"""What tracking costs training: processor and wall time without a run, and with stores that fail.

    python -m benchmarks.tracking [EPOCHS] [STEPS] [REPETITIONS]

The stores: one with a closed port, one that takes every connection and answers none, an MLflow server that answers
after two seconds, and one that dies half way. Rows are measured in turns, medians printed. *Start* is the begin of the
run, once a training; *CPU* and *wall* are those of the epochs; *end* is the wall time that a finished run gives its
store. CPU is that of the training process, which is what a busy machine can measure; *sender* is the CPU of the process
that sends, which has a low priority.
"""

import contextlib
import http.server
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import torch
from ignite.engine import Engine, Events

from dymo_med.handlers import MLflowMetrics, MLflowRun

DELAY_SECONDS = 2.0
COLUMNS = ("start CPU", "start", "CPU", "wall", "end", "sender")


def train(store: str | None, n_epochs: int, n_steps: int, half_way: Callable[[], None] = lambda: None) -> list[float]:
    """Give seconds by :data:`COLUMNS`."""
    weight = torch.randn(600, 600)

    def step(_: Engine, __: int) -> dict[str, torch.Tensor]:
        return {"loss": (weight @ weight).square().mean()}

    engine = Engine(step)
    engine.add_event_handler(Events.EPOCH_COMPLETED(once=max(n_epochs // 2, 1)), half_way)
    with tempfile.TemporaryDirectory() as folder:
        start, start_cpu, sender, run = time.perf_counter(), time.process_time(), 0.0, None
        if store is not None:
            run = MLflowRun(Path(folder) / "eval" / "train", "benchmark", "train", tracking_uri=store)
            run.attach(engine)
            MLflowMetrics(run, "train/").attach(engine)
            run.begin()
        start, start_cpu = time.perf_counter() - start, time.process_time() - start_cpu
        wall, cpu = time.perf_counter(), time.process_time()
        engine.run(range(n_steps), max_epochs=n_epochs)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        end = time.perf_counter()
        if run is not None:
            sender = sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children() if _sends(child))
            run.finish()
        return [start_cpu, start, cpu, wall, time.perf_counter() - end, sender]


def _sends(process: psutil.Process) -> bool:
    return "dymo_med.tracking.background" in process.cmdline()


@contextlib.contextmanager
def mlflow_server(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """A server on loopback over SQLite: its address, and how to kill it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    places = ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--artifacts-destination", str(folder / "up")]
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "mlflow", *words, *places],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def kill() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()

    try:
        while process.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                break
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}", kill
    finally:
        kill()


@contextlib.contextmanager
def delayed(address: str) -> Iterator[str]:
    """The address of a server that passes requests on after a delay."""

    class Late(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            time.sleep(DELAY_SECONDS)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
            headers = {"Content-Type": self.headers.get("Content-Type", "application/json")}
            request = urllib.request.Request(address + self.path, body, headers, method=self.command)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    status, content = answer.status, answer.read()
            except urllib.error.HTTPError as err:
                status, content = err.code, err.read()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = _answer  # noqa: N815 - names of the base class

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Late) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def main(n_epochs: int = 40, n_steps: int = 100, n_repetitions: int = 3) -> None:
    """Measure and print."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    with contextlib.ExitStack() as stack:
        hanging = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))

        def fresh_server() -> tuple[str, Callable[[], None]]:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            return stack.enter_context(mlflow_server(folder))

        slow = stack.enter_context(delayed(fresh_server()[0]))
        stores: dict[str, str | None] = {
            "no run": None,
            "store refuses": f"http://127.0.0.1:{closed.getsockname()[1]}",
            "store hangs": f"http://127.0.0.1:{hanging.getsockname()[1]}",
            "store answers after 2 s": slow,
        }
        seconds: dict[str, list[list[float]]] = {name: [] for name in [*stores, "store dies half way"]}
        train(None, 2, n_steps)
        for _ in range(n_repetitions):
            for name, store in stores.items():
                seconds[name].append(train(store, n_epochs, n_steps))
            address, kill = fresh_server()
            seconds["store dies half way"].append(train(address, n_epochs, n_steps, kill))
    print(f"{n_epochs} epochs of {n_steps} steps, {n_repetitions} times; seconds, medians")
    print(f"{'':26}" + "".join(f"{name:>11}" for name in COLUMNS))
    for name, rows in seconds.items():
        medians = [statistics.median(column) for column in zip(*rows, strict=True)]
        print(f"{name:26}" + "".join(f"{value:11.2f}" for value in medians), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
