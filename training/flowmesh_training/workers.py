"""Processes that work on the same training: each takes its share, and gradients meet by their mean."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, multiprocessing

Result = TypeVar("Result")


@dataclass(frozen=True)
class Worker:
    """One of `count` processes, `number` of them are before it. The first one reports, and keeps what is made."""

    number: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.number == 0

    def takes(self, position: int) -> bool:
        """Whether it is the one for this of the things to be done."""
        return position % self.count == self.number

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Puts the mean over all workers in place of each; every worker gets the same bits."""
        if self.count == 1:
            return
        own = list(tensors)
        flat = torch.cat([each.reshape(-1) for each in own])
        dist.all_reduce(flat)
        flat /= self.count
        for each, mean in zip(own, flat.split([each.numel() for each in own]), strict=True):
            each.copy_(mean.view_as(each))

    def agree(self, number: int) -> int:
        """The first worker's number."""
        if self.count == 1:
            return number
        told = torch.tensor([number])
        dist.broadcast(told, src=0)
        return int(told)


ALONE = Worker()


def in_workers(count: int, work: Callable[..., Result], *arguments: object) -> Result:
    """Runs `work(worker, *arguments)` here and in count − 1 further processes; gives what it gave here.

    `work` must be a function of a module, and the arguments be small: the others get copies. They have as many
    threads as this process, and end when it does, however it ends.
    """
    if count == 1:
        return work(ALONE, *arguments)
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"
        others = multiprocessing.spawn(
            _work_as_another,
            (count, torch.get_num_threads(), str(meeting), work, arguments),
            nprocs=count - 1,
            join=False,
            daemon=True,
        )
        try:
            _join(meeting, 0, count)
            result = work(Worker(0, count), *arguments)
        except RuntimeError:
            # Most likely another one failed, and the connection with it: its error says more.
            others.join(timeout=5)
            raise
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()
        while not others.join():
            pass
        return result


def _work_as_another(
    before: int, count: int, threads: int, meeting: str, work: Callable, arguments: tuple[object, ...]
) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    number = before + 1
    _join(Path(meeting), number, count)
    work(Worker(number, count), *arguments)
    dist.destroy_process_group()


def _join(meeting: Path, number: int, count: int) -> None:
    # The loopback interface: names of hosts need not resolve, and nothing is open to others.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", socket.if_nameindex()[0][1])
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=number, world_size=count)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
