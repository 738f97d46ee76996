"""A bundle run of several processes: how it begins and how it ends."""

import logging
import os

import torch
import torch.distributed as dist

from dymo_med.cli.bundle import begin_bundle_run

__all__ = ["begin_parallel_run", "end_parallel_run"]


def begin_parallel_run() -> None:
    """Do what :func:`~dymo_med.cli.bundle.begin_bundle_run` does and join the group of processes of ``torchrun``.

    With GPUs every process takes its own and they talk by NCCL; without, by gloo. All but the first keep silent.

    Raises:
        RuntimeError: the run was not started by ``torchrun``.
        ValueError: an override names an id that does not exist, or there are more processes than GPUs.
    """
    begin_bundle_run()
    if "LOCAL_RANK" not in os.environ:
        found = sorted(name for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR") if name in os.environ)
        raise RuntimeError(
            f"multi_gpu_train.yaml needs processes started by torchrun, however: LOCAL_RANK is not among {found} of "
            "the environment; run 'torchrun --nproc_per_node=N -m monai.bundle run ...', or leave the overlay out"
        )
    backend = "gloo"
    if torch.cuda.is_available() and dist.is_nccl_available():
        backend = "nccl"
        _take_gpu(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group(backend)
    if dist.get_rank() > 0:
        logging.disable(logging.INFO)


def end_parallel_run() -> None:
    """Leave the group of processes; the last thing a run does."""
    dist.destroy_process_group()
    logging.disable(logging.NOTSET)


def _take_gpu(local_rank: int) -> None:
    n_gpus = torch.cuda.device_count()
    if local_rank >= n_gpus:
        raise ValueError(
            f"every process needs a GPU of its own, however: process {local_rank + 1} finds {n_gpus}; "
            f"use --nproc_per_node={n_gpus}"
        )
    torch.cuda.set_device(local_rank)
