"""The target's own answers with all that training needs of them, one safetensors file for each wave.

A file holds sequences one behind the other; sequence i has lengths[i] tokens, the first prompt_lengths[i] of
which are its prompt. For every token: the residual stream after the tapped layers, and the likeliest tokens of
the target's distribution of the *next* token. No probabilities are there for prompts, and neither taps nor
probabilities for a sequence's last token, which the target never read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

LIKELIEST = 32


@dataclass(frozen=True)
class Sequence:
    tokens: Tensor  # [n] int32
    taps: Tensor  # [n, taps · hidden] bfloat16
    likely_tokens: Tensor  # [n, LIKELIEST] int32
    likely_probabilities: Tensor  # [n, LIKELIEST] float16, of the whole vocabulary at temperature 1
    prompt_length: int
    temperature: float

    def __len__(self) -> int:
        return len(self.tokens)


def write_sequences(path: Path, sequences: list[Sequence]) -> None:
    """Written aside and renamed, so that a file is there whole or not at all."""
    joined = {
        "tokens": torch.cat([each.tokens for each in sequences]),
        "taps": torch.cat([each.taps for each in sequences]),
        "likely_tokens": torch.cat([each.likely_tokens for each in sequences]),
        "likely_probabilities": torch.cat([each.likely_probabilities for each in sequences]),
        "lengths": torch.tensor([len(each) for each in sequences], dtype=torch.int32),
        "prompt_lengths": torch.tensor([each.prompt_length for each in sequences], dtype=torch.int32),
        "temperatures": torch.tensor([each.temperature for each in sequences]),
    }
    aside = path.with_suffix(".part")
    save_file(joined, aside)
    aside.rename(path)


def read_sequences(path: Path) -> Iterator[Sequence]:
    whole = load_file(path)
    start = 0
    shape = zip(
        whole["lengths"].tolist(), whole["prompt_lengths"].tolist(), whole["temperatures"].tolist(), strict=True
    )
    for length, prompt_length, temperature in shape:
        rows = slice(start, start + length)
        yield Sequence(
            tokens=whole["tokens"][rows],
            taps=whole["taps"][rows],
            likely_tokens=whole["likely_tokens"][rows],
            likely_probabilities=whole["likely_probabilities"][rows],
            prompt_length=prompt_length,
            temperature=round(temperature, 3),
        )
        start += length


def answer_tokens(path: Path) -> int:
    """Tokens of all answers in the file."""
    with safe_open(path, "pt") as file:
        return int(file.get_tensor("lengths").sum() - file.get_tensor("prompt_lengths").sum())
