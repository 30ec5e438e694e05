"""Several workers: real processes, compared with what one process computes by hand."""

import os
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Iterable
from pathlib import Path

import torch

from flowmesh_training.problem import Problem
from flowmesh_training.train import Trainer
from flowmesh_training.workers import Worker, in_workers

from .test_rollout import toy_head, toy_vocabulary
from .test_train import write_toy_answers

STEPS = 12


def tensors(number: int) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(number)
    return [torch.randn(3, 5, generator=draw), torch.randn(7, generator=draw)]


def average(worker: Worker, folder: Path) -> int:
    own = tensors(worker.number)
    worker.average(own)
    torch.save(own, folder / f"{worker.number}.pt")
    return worker.agree(10 + worker.number)


def train(worker: Worker, folder: Path, name: str, stop: int | None) -> None:
    trainer = Trainer(toy_head(2), toy_vocabulary(), sorted(folder.glob("answers-*")), 1, folder / name, worker)
    if stop is None:
        trainer.run(STEPS)
    else:
        batches = trainer._batches()
        for _ in range(stop):
            trainer.train_step(next(batches), STEPS)
        trainer._save(STEPS)
    torch.save(trainer.head.state_dict(), folder / f"{name}-{worker.number}.pt")


def fail(worker: Worker) -> None:
    if worker.number == 1:
        raise Problem("the second has no room")
    worker.agree(1)


def wait_for_ever(worker: Worker, folder: Path) -> None:
    (folder / f"{worker.number}.pid").write_text(str(os.getpid()))
    time.sleep(3600)


class ByHand:
    """A worker's part of the batches, with gradients that the test sees to."""

    count = 2
    first = False

    def __init__(self, number: int):
        self.number = number
        self.gradients: list[torch.Tensor] = []

    def takes(self, position: int) -> bool:
        return position % 2 == self.number

    def average(self, found: Iterable[torch.Tensor]) -> None:
        self.gradients = [each.clone() for each in found]


class WorkersTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def test_each_gets_the_mean_and_the_first_ones_number(self):
        self.assertEqual(in_workers(3, average, self.path), 10)
        expected = [sum(each) / 3 for each in zip(*map(tensors, range(3)), strict=True)]
        of_workers = [torch.load(self.path / f"{number}.pt") for number in range(3)]
        for i, mean in enumerate(expected):
            torch.testing.assert_close(of_workers[0][i], mean)
            for other in of_workers[1:]:
                self.assertTrue(torch.equal(of_workers[0][i], other[i]))

    def test_two_train_one_head_with_a_batch_each(self):
        files = write_toy_answers(self.path)
        in_workers(2, train, self.path, "head", None)
        heads = [torch.load(self.path / f"head-{number}.pt") for number in range(2)]

        # Both batches of each step, one after the other on the same weights, and then one step with their mean.
        trainers = [Trainer(toy_head(2), toy_vocabulary(), files, 1, None, ByHand(number)) for number in range(2)]
        streams = [trainer._batches() for trainer in trainers]
        for _ in range(STEPS):
            for trainer, stream in zip(trainers, streams, strict=True):
                trainer.optimizer.step = lambda: None
                trainer.train_step(next(stream), STEPS)
                del trainer.optimizer.step
            gradients = zip(*(trainer.worker.gradients for trainer in trainers), strict=True)
            means = [(one + two) / 2 for one, two in gradients]
            for trainer in trainers:
                for parameter, mean in zip(trainer.head.parameters(), means, strict=True):
                    parameter.grad = mean.clone()
                torch.nn.utils.clip_grad_norm_(trainer.head.parameters(), 1.0)
                trainer.optimizer.step()
                trainer.optimizer.zero_grad()
        for name, weights in heads[0].items():
            self.assertTrue(torch.equal(weights, heads[1][name]), name)
            torch.testing.assert_close(weights, trainers[0].head.state_dict()[name])

    def test_a_stopped_training_ends_with_the_same_weights(self):
        write_toy_answers(self.path)
        in_workers(2, train, self.path, "unbroken", None)
        in_workers(2, train, self.path, "stopped", 7)
        in_workers(2, train, self.path, "stopped", None)
        unbroken, resumed = (torch.load(self.path / f"{name}-0.pt") for name in ("unbroken", "stopped"))
        for name, weights in unbroken.items():
            self.assertTrue(torch.equal(weights, resumed[name]), name)

    def test_a_failure_of_another_is_told(self):
        with self.assertRaisesRegex(Exception, "the second has no room"):
            in_workers(2, fail)

    def test_the_others_end_with_the_first(self):
        begin = f"from tests.test_workers import *; in_workers(2, wait_for_ever, Path({str(self.path)!r}))"
        first = subprocess.Popen([sys.executable, "-c", begin], cwd=Path(__file__).parent.parent)
        other = self.path / "1.pid"
        while not other.exists() or other.read_text() == "":
            self.assertIsNone(first.poll())
            time.sleep(0.05)
        first.kill()
        first.wait()
        self.assertTrue(ends(int(other.read_text())))


def ends(pid: int) -> bool:
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
