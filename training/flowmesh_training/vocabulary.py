"""The draft vocabulary: the tokens that the target is likeliest to say (FR-Spec, arXiv 2502.14856)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor


def likeliest_tokens(files: list[Path], vocabulary: int, count: int, always: Iterable[int]) -> tuple[Tensor, float]:
    """Ids [count], ascending, and the share of the target's choices that they hold.

    Probabilities are summed rather than tokens counted: a token that was likely but not drawn will be drawn
    another time.
    """
    mass = torch.zeros(vocabulary, dtype=torch.float64)
    for path in files:
        with safe_open(path, "pt") as file:
            tokens = file.get_tensor("likely_tokens").flatten().long()
            mass.index_add_(0, tokens, file.get_tensor("likely_probabilities").flatten().double())
    total = mass.sum()
    ranked = mass.clone()
    ranked[list(always)] = torch.inf
    chosen = ranked.topk(min(count, vocabulary)).indices.sort().values
    return chosen, float(mass[chosen].sum() / total)
