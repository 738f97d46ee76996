"""What must hold while a damaged file is read: time, memory, and no file written elsewhere."""

import os
import resource
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND


class Hang(BaseException):
    """A file took longer than its time; no ``except Exception`` can swallow it."""


@contextmanager
def time_limit(seconds):
    """Interrupt the block after so many seconds."""

    def stop(signum, frame):
        raise Hang(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class WriteWatch:
    """Notes every file that Python opens to write, makes, renames or removes outside the folders that are allowed."""

    def __init__(self):
        self.allowed: tuple[str, ...] | None = None
        self.outside: list[str] = []
        sys.addaudithook(self._hear)

    @contextmanager
    def only(self, *folders):
        self.allowed = tuple(f"{Path(folder).resolve()}{os.sep}" for folder in folders)
        try:
            yield
        finally:
            self.allowed = None

    def _hear(self, event, args):
        if self.allowed is None:
            return
        if event == "open":
            path, mode, flags = args
            writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (mode is None and (flags or 0) & WRITES)
            paths = [path] if writes else []
        elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.rename"):
            paths = args[:2] if event in ("os.rename", "os.link", "os.symlink") else args[:1]
        else:
            return
        for path in paths:
            if isinstance(path, (str, bytes, os.PathLike)):
                full = f"{Path(os.fsdecode(path)).absolute()}{os.sep}"
                if not full.startswith(self.allowed) and not full.startswith("/dev/"):
                    self.outside.append(f"{event} {full}")


WATCH = WriteWatch()


def peak_memory_mib():
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Clock:
    """Seconds of the block."""

    def __enter__(self):
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_):
        self.seconds = time.perf_counter() - self._start
