"""Training a head on the target's answers: first the verified features alone, then the head's own drafts too."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from .batches import epoch_batches, pad
from .evaluate import DEPTHS
from .head import DraftHead, DraftVocabulary
from .loss import draft_loss
from .problem import Problem
from .progress import Progress
from .rollout import Batch, roll_out
from .workers import ALONE, Worker


@dataclass(frozen=True)
class Recipe:
    """What shapes the result, besides data, seed and number of steps."""

    learning_rate: float = 1e-3
    last_rate: float = 0.05  # share of the learning rate at the end of the cosine
    warm_steps: int = 50
    weight_decay: float = 0.1
    batch_tokens: int = 4096
    # Steps of depth 1 alone come first: they are several times faster, and deeper rows build on them.
    first_share: float = 0.7
    # Each depth counts this much of the one above: a deeper guess is of use only if those above are right.
    depth_decay: float = 0.8
    # Below depth 1 every so manieth row goes on.
    sparse: int = 3


RECIPE = Recipe()
CHECKPOINT_SECONDS = 120
TRIAL_STEPS = 4


class Trainer:
    """Trains in steps; goes on from its checkpoint, and then ends with the same head as an unbroken run.

    With several workers each has a batch of its own in every step, and all have the same head.
    """

    def __init__(
        self,
        head: DraftHead,
        vocabulary: DraftVocabulary,
        files: list[Path],
        seed: int,
        checkpoint: Path | None,
        worker: Worker = ALONE,
    ):
        self.head = head
        self.vocabulary = vocabulary
        self.files = files
        self.seed = seed
        self.checkpoint = checkpoint
        self.worker = worker
        matrices = [each for each in head.parameters() if each.ndim > 1]
        gains = [each for each in head.parameters() if each.ndim == 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": RECIPE.weight_decay}, {"params": gains, "weight_decay": 0.0}],
            lr=RECIPE.learning_rate,
            betas=(0.9, 0.95),
            fused=True,
        )
        self.step = 0

    def run(self, steps: int) -> None:
        self._restore(steps)
        progress = Progress("train", steps, silent=not self.worker.first)
        saved = time.monotonic()
        average = torch.zeros(DEPTHS)
        for batch in self._batches():
            if self.step >= steps:
                break
            losses = self.train_step(batch, steps)
            known = losses > 0
            average[known] = torch.where(average[known] > 0, average[known].lerp(losses[known], 0.05), losses[known])
            progress.tell(self.step, "loss by depth " + " ".join(f"{loss:.3f}" for loss in average if loss > 0))
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                self._save(steps)
                saved = time.monotonic()
        self._save(steps)
        progress.tell(self.step, "", last=True)

    def train_step(self, batch: Batch, steps: int) -> Tensor:
        """Gives the mean loss of each depth [DEPTHS], 0 where there is none."""
        depths = 1 if self.step < RECIPE.first_share * steps else DEPTHS
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.step, steps)
        losses: list[Tensor] = []
        device = self.vocabulary.rows.device
        with torch.autocast(device.type, dtype=torch.bfloat16):
            sparse = (RECIPE.sparse, self.step % RECIPE.sparse)
            for depth in roll_out(self.head, self.vocabulary, batch.to(device), depths, sparse):
                drafted = self.head.norm(depth.drafted, self.head.norm_output)
                losses.append(draft_loss(drafted, self.vocabulary, depth) / max(len(drafted), 1))
        weights = RECIPE.depth_decay ** torch.arange(len(losses), device=device)
        (torch.stack(losses) @ (weights / weights.sum())).backward()
        self.worker.average(each.grad for each in self.head.parameters())
        torch.nn.utils.clip_grad_norm_(self.head.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        told = torch.zeros(DEPTHS)
        told[: len(losses)] = torch.stack(losses).detach().float().cpu()
        return told

    def seconds_a_step(self) -> float:
        """Mean over a whole training, measured on a few steps of each part; spoils head and optimizer."""
        batches = self._batches()
        seconds = []
        # The first step of each part is not timed: memory is allocated and kernels are chosen in it.
        for first in (0, TRIAL_STEPS):
            self.step = first
            self.train_step(next(batches), TRIAL_STEPS)
            begin = time.monotonic()
            for _ in range(TRIAL_STEPS):
                self.step = first
                self.train_step(next(batches), TRIAL_STEPS)
            seconds.append((time.monotonic() - begin) / TRIAL_STEPS)
        return RECIPE.first_share * seconds[0] + (1 - RECIPE.first_share) * seconds[1]

    def _batches(self) -> Iterator[Batch]:
        """This worker's, endless; begins behind the steps that are done."""
        passed = 0
        epoch = 0
        while True:
            before = passed
            for sequences in epoch_batches(self.files, self.seed, epoch, RECIPE.batch_tokens):
                if passed >= self.step * self.worker.count and self.worker.takes(passed):
                    yield pad(sequences)
                passed += 1
            if passed == before:
                raise Problem("the target's answers are too short to learn from: each has fewer than two tokens")
            epoch += 1

    def _settings(self, steps: int) -> dict:
        return {**asdict(RECIPE), "steps": steps, "seed": self.seed, "files": len(self.files), "workers": self.worker.count}

    def _save(self, steps: int) -> None:
        if self.checkpoint is None or not self.worker.first:
            return
        aside = self.checkpoint.with_suffix(".part")
        state = {
            "settings": self._settings(steps),
            "step": self.step,
            "head": self.head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, aside)
        aside.rename(self.checkpoint)

    def _restore(self, steps: int) -> None:
        if self.checkpoint is None or not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, weights_only=True)
        if state["settings"] != self._settings(steps):
            raise Problem(
                f"{self.checkpoint} is of a training with other settings; give another --work folder, or remove it"
            )
        self.head.load_state_dict(state["head"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


def rate(step: int, steps: int) -> float:
    """Learning rate: a short rise, then a cosine down to its last share."""
    warm = min(1.0, (step + 1) / min(RECIPE.warm_steps, max(steps // 10, 1)))
    fall = 0.5 + 0.5 * math.cos(math.pi * step / steps)
    return RECIPE.learning_rate * warm * (RECIPE.last_rate + (1 - RECIPE.last_rate) * fall)
