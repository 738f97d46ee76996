"""Functions run by several processes in one gloo group, forked so that nothing is imported anew."""

import multiprocessing
import os
import traceback

import torch
import torch.distributed as dist


def in_processes(function, store, n=2, timeout=60):
    """Call ``function(rank)`` in ``n`` processes of one group and give what each returned, tensors as arrays."""
    context = multiprocessing.get_context("fork")
    ends = [context.Pipe(duplex=False) for _ in range(n)]
    children = [context.Process(target=_call, args=(function, store, n, rank, ends[rank][1])) for rank in range(n)]
    for child in children:
        child.start()
    try:
        answers = [receiver.recv() if receiver.poll(timeout) else "no answer" for receiver, _ in ends]
    finally:
        for child in children:
            child.terminate()
            child.join()
    failed = [answer for answer in answers if isinstance(answer, str)]
    assert not failed, "\n".join(failed)
    return [result for (result,) in answers]


def _call(function, store, n, rank, sender):
    os.environ["LOCAL_RANK"] = str(rank)  # as torchrun says it
    try:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=n)
        result = function(rank)
        dist.barrier()
        sender.send((_plain(result),))
        dist.destroy_process_group()
    except BaseException:  # noqa: BLE001 - whatever it was, the test must hear of it
        sender.send(f"process {rank}: {traceback.format_exc()}")


def _plain(value):
    """Tensors by value: torch would send handles of memory that ends with the process."""
    if isinstance(value, torch.Tensor):
        return value.detach().numpy().copy()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
