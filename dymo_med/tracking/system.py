"""Load of the machine, as MLflow measures it."""

import time
from pathlib import Path
from typing import Any

from dymo_med.tracking.journal import SYSTEM_FILE, append_entry, as_json_numbers, count_entries

__all__ = ["SystemMonitor"]

_INTERVAL_SECONDS = 10.0


class SystemMonitor:
    """Writes processor, memory, disk, network and, where its driver can be asked, GPU load beside the journal.

    MLflow's own monitor sends what it measures at once and loses it where the store does not answer.

    Args:
        folder: Folder of the journal.
        interval_s: Seconds from one measurement to the next; 10 as in MLflow.
    """

    def __init__(self, folder: str | Path, interval_s: float = _INTERVAL_SECONDS) -> None:
        self.path = Path(folder) / SYSTEM_FILE
        self.interval_s = interval_s
        self._monitors = _monitors()
        self._step = count_entries(folder, SYSTEM_FILE)
        self._next = time.monotonic()

    def sample(self) -> None:
        """Measure, if it is time to."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self.interval_s
        values: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.collect_metrics()
            values |= monitor.aggregate_metrics()
            monitor.clear_metrics()
        named = as_json_numbers({f"system/{name}": value for name, value in values.items()})
        append_entry(self.path, "metrics", step=self._step, values=named)
        self._step += 1


def _monitors() -> list[Any]:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    monitors: list[Any] = [monitor() for monitor in (CPUMonitor, DiskMonitor, NetworkMonitor)]
    try:
        monitors.append(GPUMonitor())  # type: ignore[no-untyped-call]
    except Exception:  # noqa: BLE001 - no GPU, no driver or no package to ask it: whichever, there is nothing to log
        return monitors
    return monitors
