"""Times of several functions, measured in turns so that a busy moment of the machine hits all of them."""

import platform
import statistics
import time
from collections.abc import Callable, Mapping

import torch

__all__ = ["interleaved", "machine", "summary"]


def interleaved(functions: Mapping[str, Callable[[], object]], repetitions: int) -> dict[str, list[float]]:
    """Run every function once to warm up, then all of them in turn; give seconds per call in order."""
    for function in functions.values():
        function()
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repetitions):
        for name, function in functions.items():
            _wait()
            start = time.perf_counter()
            function()
            _wait()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def _wait() -> None:
    """Wait for what a GPU still computes."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def summary(seconds: list[float]) -> dict[str, float]:
    """Give the median and the range of the middle half, in milliseconds."""
    low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return {"median_ms": round(1e3 * middle, 2), "q1_ms": round(1e3 * low, 2), "q3_ms": round(1e3 * high, 2)}


def machine() -> dict[str, object]:
    """Describe the machine without naming it."""
    return {
        "architecture": platform.machine(),
        "threads": torch.get_num_threads(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
