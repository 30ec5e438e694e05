"""What each worker does of the whole way, from plain arguments: its share of the answers, its share of the training."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from functools import cache
from pathlib import Path

import torch

from .export import load_weights
from .generate import GenerationPlan, generate
from .head import DraftHead, DraftVocabulary, head_shape
from .problem import Problem
from .target import Target
from .train import Trainer
from .workers import Worker


def share_threads(options: Namespace) -> None:
    if options.workers > 1 and options.device != "cpu":
        raise Problem("--workers share the processor's cores; on a GPU one process is enough")
    if options.threads or options.workers > 1:
        torch.set_num_threads(max(1, (options.threads or torch.get_num_threads()) // options.workers))


@cache
def target_of(model: Path, device: str) -> Target:
    return Target(model, torch.device(device), torch.bfloat16)


def make_answers(worker: Worker, options: Namespace, plan: GenerationPlan, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    generate(target_of(options.model, options.device), read_prompts(options.prompts), plan, deadline, worker)


def train(
    worker: Worker, options: Namespace, taps: tuple[int, ...], tokens: list[int], learnt: list[Path], seconds: float
) -> tuple[DraftHead, int]:
    """The head, and the number of its steps."""
    target = target_of(options.model, options.device)
    vocabulary = DraftVocabulary(target, torch.tensor(tokens, device=options.device))

    def trainer(checkpoint: Path | None) -> Trainer:
        torch.manual_seed(options.seed)
        head = DraftHead(head_shape(target, taps, options.layers)).to(options.device)
        if options.init:
            load_weights(options.init, head)
        return Trainer(head, vocabulary, learnt, options.seed, checkpoint, worker)

    kept = options.work / "steps.json"
    steps = options.steps or worker.agree(json.loads(kept.read_text())["steps"] if kept.exists() else 0)
    if steps == 0:
        # Decided once, so that a stopped run goes on with the same number.
        steps = worker.agree(max(10, int(seconds / trainer(None).seconds_a_step())))
        if worker.first:
            kept.write_text(json.dumps({"steps": steps}) + "\n")
    trained = trainer(options.work / "checkpoint.pt")
    trained.run(steps)
    return trained.head, steps


def read_prompts(path: Path) -> list[list[int]]:
    prompts = []
    with path.open() as lines:
        for number, line in enumerate(lines, start=1):
            try:
                prompts.append([int(token) for token in json.loads(line)["tokens"]])
            except (ValueError, KeyError, TypeError) as error:
                raise Problem(f'{path}, line {number}: {{"tokens": […]}} is needed ({error})') from error
    if not prompts:
        raise Problem(f"{path} has no prompts")
    return prompts
