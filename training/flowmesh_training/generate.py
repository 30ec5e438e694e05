"""The target answers prompts, many at once, and is tapped while it does."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .answers import LIKELIEST, Sequence, answer_tokens, write_sequences
from .progress import Progress
from .target import Cache, Target
from .workers import ALONE, Worker

# Half of the answers are greedy, half sampled: users do both, and a head has to guess both.
TEMPERATURES = (0.0, 1.0, 0.0, 0.7)
PREFILL_TOKENS = 64
# An answer that says these many tokens for the second time has fallen into a loop, and is cut there.
LOOP_TOKENS = 24
# Answers that ended leave the batch when this share of it is idle.
IDLE_SHARE = 0.2


@dataclass(frozen=True)
class GenerationPlan:
    folder: Path
    taps: tuple[int, ...]
    eos: frozenset[int]
    seed: int
    tokens: int
    answer_tokens: int
    context_tokens: int
    rows: int
    temperatures: tuple[float, ...] = TEMPERATURES
    step: str = "generate"  # what progress is told as


def generate(
    target: Target, prompts: Many[list[int]], plan: GenerationPlan, deadline: float, worker: Worker = ALONE
) -> None:
    """Files of answers, until there are `plan.tokens`, no prompts are left, or `deadline` (monotonic seconds).

    Goes on behind the files that are there. Prompts come in an order that depends on the seed alone, and a
    wave's draws on the seed and its number, so that a stopped run and an unbroken one make the same files. Each of
    several workers makes its share of the files and of the tokens; the first one tells how far it is itself.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    enough = plan.tokens / worker.count
    progress = Progress(plan.step, enough, silent=not worker.first)
    done = made = 0
    for number, wave in enumerate(waves(prompts, plan)):
        if not worker.takes(number):
            continue
        path = answers_path(plan.folder, number)
        if not path.exists():
            if done >= enough or (time.monotonic() > deadline and made > 0):
                break
            write_sequences(path, Wave(target, wave, plan, number).run())
        made += 1
        done += answer_tokens(path)
        progress.tell(done, f"{made} files")
    progress.tell(done, f"{made} files", last=True)


def answers_path(folder: Path, number: int) -> Path:
    return folder / f"answers-{number:05}.safetensors"


def answers_files(folder: Path) -> list[Path]:
    """All that are there, in their order."""
    return sorted(folder.glob("answers-*.safetensors"))


def waves(prompts: Many[list[int]], plan: GenerationPlan) -> list[list[list[int]]]:
    """Batches of prompts of like length, in an order that has nothing to do with length."""
    order = [prompt for prompt in prompts if len(prompt) + plan.answer_tokens <= plan.context_tokens]
    random.Random(plan.seed).shuffle(order)
    stretch = 8 * plan.rows
    batches: list[list[list[int]]] = []
    for start in range(0, len(order), stretch):
        near = sorted(order[start : start + stretch], key=len)
        batches += [near[at : at + plan.rows] for at in range(0, len(near), plan.rows)]
    random.Random(plan.seed + 1).shuffle(batches)
    return batches


class Wave:
    """One batch of prompts and their answers."""

    def __init__(self, target: Target, prompts: list[list[int]], plan: GenerationPlan, number: int):
        self.target = target
        self.plan = plan
        self.prompts = prompts
        self.answers: list[list[int]] = [[] for _ in prompts]
        kinds = plan.temperatures
        self.temperatures = [kinds[(number + row) % len(kinds)] for row in range(len(prompts))]
        self.generator = torch.Generator(target.device).manual_seed((plan.seed << 20) + number)
        self.taps: list[list[Tensor]] = [[] for _ in prompts]
        self.likely: list[list[tuple[Tensor, Tensor]]] = [[] for _ in prompts]
        self.said: list[set[tuple[int, ...]]] = [set() for _ in prompts]
        self.ended = [False] * len(prompts)

    @torch.inference_mode()
    def run(self) -> list[Sequence]:
        target = self.target
        cache = Cache(target, len(self.prompts))
        last = self._prefill(cache)
        rows = list(range(len(self.prompts)))
        lengths = torch.tensor([len(prompt) for prompt in self.prompts], device=target.device)
        while True:
            tokens, going = self._choose(rows, last)
            if not any(going):
                return [self._sequence(row) for row in range(len(self.prompts))]
            if sum(going) < (1 - IDLE_SHARE) * len(rows):
                keep = torch.tensor(going, device=target.device).nonzero()[:, 0]
                cache.keep(keep)
                tokens, lengths = tokens[keep], lengths[keep]
                rows = [rows[i] for i in keep.tolist()]
            taps = target.forward(tokens[:, None], lengths, cache, self.plan.taps)[:, 0]
            last = self._last_tap(taps)
            lengths = lengths + 1
            for row, tap in zip(rows, taps.to(torch.bfloat16).cpu(), strict=True):
                if not self.ended[row]:
                    self.taps[row].append(tap[None])

    def _last_tap(self, taps: Tensor) -> Tensor:
        return taps[..., -self.target.config.hidden :]

    def _prefill(self, cache: Cache) -> Tensor:
        """Reads the prompts; gives the last tap [rows, hidden] at each one's end."""
        device = self.target.device
        longest = max(map(len, self.prompts))
        padded = torch.zeros(len(self.prompts), longest, dtype=torch.long, device=device)
        for row, prompt in enumerate(self.prompts):
            padded[row, : len(prompt)] = torch.tensor(prompt)
        last = torch.zeros(len(self.prompts), self.target.config.hidden, device=device)
        for start in range(0, longest, PREFILL_TOKENS):
            # What is read behind a prompt's end is overwritten by its answer before it is ever seen.
            chunk = padded[:, start : start + PREFILL_TOKENS]
            begin = torch.full((len(self.prompts),), start, device=device)
            taps = self.target.forward(chunk, begin, cache, self.plan.taps)
            for row, prompt in enumerate(self.prompts):
                rest = len(prompt) - start
                if rest > 0:
                    self.taps[row].append(taps[row, :rest].to(torch.bfloat16).cpu())
                if 0 < rest <= chunk.shape[1]:
                    last[row] = self._last_tap(taps[row, rest - 1])
        return last

    def _choose(self, rows: list[int], last: Tensor) -> tuple[Tensor, list[bool]]:
        """The next token of each row [rows], and which rows go on."""
        logits = self.target.logits(last)
        values, indices = logits.topk(min(LIKELIEST, logits.shape[1]), dim=-1)
        normaliser = logits.logsumexp(-1, keepdim=True)
        chosen = indices[:, 0].clone()
        for temperature in set(self.plan.temperatures) - {0.0}:
            of = [i for i, row in enumerate(rows) if self.temperatures[row] == temperature]
            if of:
                chosen[of] = self._sample(logits[of] / temperature)
        likely = zip(indices.int().cpu(), (values - normaliser).exp().half().cpu(), strict=True)
        going = []
        for row, token, each in zip(rows, chosen.tolist(), likely, strict=True):
            if not self.ended[row]:
                self.likely[row].append(each)
                self.answers[row].append(token)
                self.ended[row] = self._ends(row)
            going.append(not self.ended[row])
        return chosen, going

    def _sample(self, logits: Tensor) -> Tensor:
        cumulative = logits.softmax(-1).cumsum(-1)
        drawn = torch.rand(len(logits), 1, generator=self.generator, device=logits.device) * cumulative[:, -1:]
        return torch.searchsorted(cumulative, drawn).clamp(max=logits.shape[1] - 1)[:, 0]

    def _ends(self, row: int) -> bool:
        answer = self.answers[row]
        if answer[-1] in self.plan.eos or len(answer) >= self.plan.answer_tokens:
            return True
        gram = tuple(answer[-LOOP_TOKENS:])
        is_loop = gram in self.said[row]
        if len(gram) == LOOP_TOKENS:
            self.said[row].add(gram)
        return is_loop

    def _sequence(self, row: int) -> Sequence:
        prompt, answer = self.prompts[row], self.answers[row]
        taps = torch.cat(self.taps[row])
        tokens = torch.tensor(prompt + answer, dtype=torch.int32)
        likely_tokens = torch.zeros(len(tokens), LIKELIEST, dtype=torch.int32)
        likely_probabilities = torch.zeros(len(tokens), LIKELIEST, dtype=torch.float16)
        for at, (ids, probabilities) in enumerate(self.likely[row], start=len(prompt) - 1):
            likely_tokens[at, : len(ids)] = ids
            likely_probabilities[at, : len(ids)] = probabilities
        return Sequence(
            tokens=tokens,
            taps=torch.cat([taps, torch.zeros(len(tokens) - len(taps), taps.shape[1], dtype=taps.dtype)]),
            likely_tokens=likely_tokens,
            likely_probabilities=likely_probabilities,
            prompt_length=len(prompt),
            temperature=self.temperatures[row],
        )
