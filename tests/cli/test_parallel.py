"""How a run of several processes begins and ends, in one process: those of several are in tests/bundles."""

import logging
import os
import sys

import pytest
import torch
import torch.distributed as dist

from dymo_med.cli.parallel import begin_parallel_run, end_parallel_run

VARIABLES = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}


@pytest.fixture
def launched(monkeypatch, unused_port):
    """The environment that torchrun gives to the only process of a group."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "argv", ["run"])
    for name, value in {**VARIABLES, "MASTER_PORT": str(unused_port)}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture
def unused_port():
    import socket

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def test_group_is_joined_and_left(launched, capsys):
    launched.setattr(torch.cuda, "is_available", lambda: False)
    begin_parallel_run()
    try:
        assert (dist.get_backend(), dist.get_world_size()) == ("gloo", 1)
        sys.excepthook(ValueError, ValueError("what went wrong"), None)
        assert "dymo-med: error: what went wrong\n" in capsys.readouterr().err
        assert logging.root.manager.disable < logging.INFO  # the first process speaks
    finally:
        end_parallel_run()
    assert not dist.is_initialized()


def test_every_other_process_is_silent(launched):
    launched.setattr(dist, "init_process_group", lambda *_: None)
    launched.setattr(dist, "get_rank", lambda: 1)
    launched.setattr(dist, "destroy_process_group", lambda: None)
    begin_parallel_run()
    assert not logging.getLogger("any").isEnabledFor(logging.INFO)
    assert logging.getLogger("any").isEnabledFor(logging.WARNING)
    end_parallel_run()
    logging.getLogger("any").setLevel(logging.INFO)
    assert logging.getLogger("any").isEnabledFor(logging.INFO)


def test_every_process_takes_its_gpu(launched):
    taken, backends = [], []
    launched.setenv("LOCAL_RANK", "1")
    launched.setattr(torch.cuda, "is_available", lambda: True)
    launched.setattr(torch.cuda, "device_count", lambda: 2)
    launched.setattr(torch.cuda, "set_device", taken.append)
    launched.setattr(dist, "is_nccl_available", lambda: True)
    launched.setattr(dist, "init_process_group", backends.append)
    launched.setattr(dist, "get_rank", lambda: 0)
    begin_parallel_run()
    assert (taken, backends) == ([1], ["nccl"])


def test_more_processes_than_gpus_are_refused(launched):
    launched.setenv("LOCAL_RANK", "2")
    launched.setattr(torch.cuda, "is_available", lambda: True)
    launched.setattr(torch.cuda, "device_count", lambda: 2)
    launched.setattr(dist, "is_nccl_available", lambda: True)
    with pytest.raises(ValueError, match=r"GPU of its own, however: process 3 finds 2; use --nproc_per_node=2"):
        begin_parallel_run()


def test_run_without_torchrun_is_refused(launched):
    launched.delenv("LOCAL_RANK")
    with pytest.raises(RuntimeError, match=r"started by torchrun, however: LOCAL_RANK is not .*; run 'torchrun --npr"):
        begin_parallel_run()
    assert not dist.is_initialized()
    assert "LOCAL_RANK" not in os.environ
