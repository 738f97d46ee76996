"""Times of several functions, measured in turns so that a busy moment of the machine hits all of them."""

import platform
import statistics
import time
from collections.abc import Callable, Mapping

import torch

__all__ = ["interleaved", "machine", "summary"]


def interleaved(
    functions: Mapping[str, Callable[[], object]],
    repetitions: int,
    *,
    n_warm_ups: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Run every function to warm up, then all of them in turn; give seconds of a clock per call in order.

    On a machine where others work too, ``time.process_time`` tells more than the time that passes.
    """
    for function in functions.values():
        for _ in range(n_warm_ups):
            function()
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repetitions):
        for name, function in functions.items():
            _wait()
            start = clock()
            function()
            _wait()
            seconds[name].append(clock() - start)
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
