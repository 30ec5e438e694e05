"""A head drafting along the true path, from many verified positions at once (training-time test of EAGLE-3).

At depth 1 every row has taps. At depth d > 1 the row that started at verified position t stands at position
t + d - 1, reads the true token there and its own output of the depth before, and attends to the verified
positions up to t and to its own drafted rows: just what it will find when it drafts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from .head import DraftHead, DraftVocabulary


@dataclass(frozen=True)
class Batch:
    """Sequences padded to the same length n. `starts` are the verified positions that are drafted from."""

    tokens: Tensor  # [rows, n] int64
    taps: Tensor  # [rows, n, taps · hidden]
    starts: Tensor  # [rows, m] int64
    lengths: Tensor  # [rows]
    likely_tokens: Tensor  # [rows, n, k] int64: the target's likeliest tokens to follow each position
    likely_probabilities: Tensor  # [rows, n, k]
    greedy: Tensor  # [rows] bool: the answer was decoded at temperature 0

    def to(self, device: torch.device) -> Batch:
        return Batch(**{each.name: getattr(self, each.name).to(device) for each in fields(self)})


@dataclass(frozen=True)
class Depth:
    """Rows that are worth learning from, one behind the other."""

    drafted: Tensor  # [count, hidden]: the head's output
    likely_tokens: Tensor  # [count, k]
    likely_probabilities: Tensor  # [count, k]
    greedy: Tensor  # [count]


def roll_out(
    head: DraftHead, vocabulary: DraftVocabulary, batch: Batch, depths: int, sparse: tuple[int, int] = (1, 0)
) -> Iterator[Depth]:
    """Depths 1 to `depths`. Below the first only every `sparse[0]`th start goes on, from the `sparse[1]`th."""
    shape = head.shape
    row = torch.arange(len(batch.tokens), device=batch.tokens.device)[:, None]
    features = head.fuse(batch.taps[:, :-1])
    positions = torch.arange(features.shape[1], device=features.device)
    entered = head.enter(vocabulary.embed(batch.tokens[:, 1:]), features)
    starts = batch.starts
    below = features[row, starts]
    verified: list[tuple[Tensor, Tensor]] = []
    own: list[list[tuple[Tensor, Tensor]]] = [[] for _ in head.layers]
    sees = positions <= starts[..., None]
    for depth in range(1, depths + 1):
        at = starts + depth - 1
        # Beyond a sequence's end rows only keep the shape.
        inside = at.clamp(max=batch.tokens.shape[1] - 2)
        hidden = below
        x = entered
        for number, layer in enumerate(head.layers):
            if depth == 1:
                # Every verified position is seen by later ones, so all go through all but the last layer.
                whole = x if number == 0 else head.norm(x, layer.norm_attention)
                everywhere = positions.expand(len(row), -1)
                query, keys, values = head.project(layer, whole, everywhere)
                verified.append((keys, values))
                if number + 1 < shape.layers:
                    base = features if number == 0 else x
                    causal = positions <= positions[:, None]
                    attended = attend(query, [(keys, values)], [], causal.expand(len(row), -1, -1))
                    x = head.finish(layer, base, attended)
                    hidden = x[row, starts]
                    continue
                query = query.transpose(1, 2)[row, starts].transpose(1, 2)
                base = features[row, starts] if number == 0 else x[row, starts]
                hidden = head.finish(layer, base, attend(query, [verified[number]], [], sees))
                continue
            if number == 0:
                entering = head.enter(vocabulary.embed(batch.tokens[row, inside + 1]), hidden)
            else:
                entering = head.norm(hidden, layer.norm_attention)
            query, keys, values = head.project(layer, entering, at)
            own[number].append((keys, values))
            hidden = head.finish(layer, hidden, attend(query, [verified[number]], own[number], sees))
        below = hidden
        # The row at position p guesses the token at p + 2, which the target chose after p + 1.
        judged = at + 1
        counts = judged <= batch.lengths[:, None] - 2
        counted = judged.clamp(max=batch.tokens.shape[1] - 1)
        yield Depth(
            drafted=hidden[counts],
            likely_tokens=batch.likely_tokens[row, counted][counts],
            likely_probabilities=batch.likely_probabilities[row, counted][counts],
            greedy=batch.greedy[:, None].expand_as(counts)[counts],
        )
        if depth == 1 and sparse[0] > 1:
            some = slice(sparse[1], None, sparse[0])
            starts, below, sees = starts[:, some], below[:, some], sees[:, some]


def attend(
    query: Tensor, shared: list[tuple[Tensor, Tensor]], own: list[tuple[Tensor, Tensor]], sees: Tensor
) -> Tensor:
    """Attention [rows, m, heads · head_dim] of queries [rows, heads, m, head_dim].

    All see the `shared` keys and values [rows, kv_heads, n, head_dim] where `sees` [rows, m, n] says so; query i
    also sees row i of each of `own` [rows, kv_heads, m, head_dim].
    """
    rows, heads, count, head_dim = query.shape
    (keys, values) = shared[0]
    kv_heads = keys.shape[1]
    scaled = (query * head_dim**-0.5).view(rows, kv_heads, -1, count, head_dim)
    scores = (scaled.flatten(2, 3) @ keys.transpose(-1, -2)).view(rows, kv_heads, -1, count, keys.shape[2])
    scores = scores.float().masked_fill(~sees[:, None, None], float("-inf"))
    along = [(scaled * k[:, :, None]).sum(-1, keepdim=True).float() for k, _ in own]
    weights = torch.cat([scores, *along], dim=-1).softmax(-1).to(query.dtype)
    mean = (weights[..., : keys.shape[2]].flatten(2, 3) @ values).view(rows, kv_heads, -1, count, head_dim)
    for i, (_, v) in enumerate(own):
        mean = mean + weights[..., keys.shape[2] + i, None] * v[:, :, None]
    return mean.view(rows, heads, count, head_dim).transpose(1, 2).flatten(2)
