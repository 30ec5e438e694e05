"""Batches of sequences from files of answers, in an order that follows from seed and epoch alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from .answers import Sequence, read_sequences
from .rollout import Batch


def epoch_batches(files: list[Path], seed: int, epoch: int, tokens: int) -> Iterator[list[Sequence]]:
    """All sequences once, about `tokens` tokens in a batch, to be padded; files are read one after the other."""
    order = random.Random(f"{seed} {epoch}")
    for path in order.sample(files, len(files)):
        batches = list(file_sequences(path, tokens))
        order.shuffle(batches)
        yield from batches


def file_batches(path: Path, tokens: int) -> Iterator[Batch]:
    return map(pad, file_sequences(path, tokens))


def file_sequences(path: Path, tokens: int) -> Iterator[list[Sequence]]:
    """Sequences of like length, about `tokens` tokens together."""
    pending: list[Sequence] = []
    for sequence in sorted((each for each in read_sequences(path) if starts_of(each)), key=len):
        if pending and (len(pending) + 1) * len(sequence) > tokens:
            yield pending
            pending = []
        pending.append(sequence)
    if pending:
        yield pending


def starts_of(sequence: Sequence) -> range:
    """Verified positions from which the target's next choice but one is known."""
    return range(sequence.prompt_length - 1, len(sequence) - 2)


def pad(sequences: list[Sequence]) -> Batch:
    longest = max(map(len, sequences))
    most = max(len(starts_of(each)) for each in sequences)

    def padded(tensors: list[Tensor]) -> Tensor:
        joined = torch.zeros(len(tensors), longest, *tensors[0].shape[1:], dtype=tensors[0].dtype)
        for row, tensor in enumerate(tensors):
            joined[row, : len(tensor)] = tensor
        return joined

    # A start at the last position but one has nothing to guess: it fills up.
    starts = torch.full((len(sequences), most), longest - 2)
    for row, each in enumerate(sequences):
        of_row = starts_of(each)
        starts[row, : len(of_row)] = torch.tensor(of_row)
    return Batch(
        tokens=padded([each.tokens for each in sequences]).long(),
        taps=padded([each.taps for each in sequences]),
        starts=starts,
        lengths=torch.tensor([len(each) for each in sequences]),
        likely_tokens=padded([each.likely_tokens for each in sequences]).long(),
        likely_probabilities=padded([each.likely_probabilities for each in sequences]),
        greedy=torch.tensor([each.temperature == 0 for each in sequences]),
    )
