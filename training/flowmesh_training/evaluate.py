"""How often a head guesses the target's choice, by depth below the verified position."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch

from .head import DraftHead, DraftVocabulary
from .rollout import Batch, roll_out

DEPTHS = 6
TOPS = (1, 4, 8)


@dataclass
class HitRates:
    """Of the likeliest token of the target (its choice at temperature 0), whole vocabulary."""

    counts: list[int] = field(default_factory=lambda: [0] * DEPTHS)
    hits: list[list[int]] = field(default_factory=lambda: [[0] * len(TOPS) for _ in range(DEPTHS)])
    # Overlap Σ min(p, q) of the two distributions: what no coupling of guesses and draws can exceed.
    overlap: list[float] = field(default_factory=lambda: [0.0] * DEPTHS)

    def rows(self) -> list[dict[str, float]]:
        return [
            {
                "depth": depth + 1,
                **{f"top{top}": round(hits / max(count, 1), 4) for top, hits in zip(TOPS, of_depth, strict=True)},
            }
            for depth, (count, of_depth) in enumerate(zip(self.counts, self.hits, strict=True))
        ]


@torch.inference_mode()
def hit_rates(head: DraftHead, vocabulary: DraftVocabulary, batches: Iterable[Batch], greedy: bool) -> HitRates:
    """Over the greedy answers, or over the sampled ones."""
    rates = HitRates()
    for batch in batches:
        for number, depth in enumerate(roll_out(head, vocabulary, batch, DEPTHS)):
            some = depth.greedy == greedy
            drafted = head.norm(depth.drafted[some], head.norm_output).to(vocabulary.rows.dtype)
            logits = (drafted @ vocabulary.rows.T).float()
            guesses = vocabulary.tokens[logits.topk(max(TOPS), dim=-1).indices]
            matches = (guesses == depth.likely_tokens[some][:, :1]).cumsum(-1)
            rates.counts[number] += len(guesses)
            for i, top in enumerate(TOPS):
                rates.hits[number][i] += int(matches[:, top - 1].sum())
            index = vocabulary.index[depth.likely_tokens[some]]
            drawn = logits.softmax(-1).gather(1, index.clamp(min=0)) * (index >= 0)
            rates.overlap[number] += float(torch.minimum(drawn, depth.likely_probabilities[some].float()).sum())
    return rates
