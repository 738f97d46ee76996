"""Ordered parallel work, and workers that do not outlive their parent."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dymo_med.data.parallel import map_in_order


def test_one_worker_needs_no_other_process():
    assert list(map_in_order(lambda number: -number, range(-20, 0), n_workers=1)) == list(range(20, 0, -1))


def test_map_in_order_refuses_no_workers():
    with pytest.raises(ValueError, match="n_workers must be a positive integer, however: n_workers=0"):
        list(map_in_order(abs, [1], n_workers=0))


_KILLED = """
import os, signal, sys, time
from dymo_med.data.parallel import map_in_order
def slow(number):
    time.sleep(0.05)
    return os.getpid()
if __name__ == "__main__":
    for done, pid in enumerate(map_in_order(slow, range(10000), n_workers=2)):
        if done == 3:
            sys.stdout.write(str(pid)); sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_leave_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(_KILLED)
    done = subprocess.run(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == -9
    process = Path(f"/proc/{int(done.stdout)}")
    deadline = time.monotonic() + 10
    while process.exists() and "Z" not in (process / "stat").read_text().split(")")[1].split()[0]:
        assert time.monotonic() < deadline, "the worker outlives its parent"
        time.sleep(0.1)
