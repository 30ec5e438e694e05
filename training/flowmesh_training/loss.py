"""Cross entropy of a head's draft distribution against the target's likeliest tokens."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from .head import DraftVocabulary
from .rollout import Depth

# A greedy answer goes on with the likeliest token, so that one's share of the goal is raised by this much.
GREEDY_SHARE = 0.5
PIECE_ROWS = 512


class _CrossEntropy(torch.autograd.Function):
    """Sum over rows of −Σ goal · log softmax(x · rowsᵀ).

    The gradient is made at once with the loss, some rows at a time: logits are by far the largest tensor of a
    step, and in pieces they stay in the cache of the processor.
    """

    @staticmethod
    def forward(ctx, x: Tensor, rows: Tensor, goal_index: Tensor, goal: Tensor) -> Tensor:
        gradient = torch.empty_like(x)
        loss = torch.zeros((), device=x.device)
        for at in range(0, len(x), PIECE_ROWS):
            some = slice(at, at + PIECE_ROWS)
            shares = goal[some]
            log_shares = linear(x[some], rows).float().log_softmax(-1)
            loss -= (log_shares.gather(1, goal_index[some]) * shares).sum()
            upward = log_shares.exp_().mul_(shares.sum(-1, keepdim=True))
            upward.scatter_add_(1, goal_index[some], -shares)
            gradient[some] = upward.to(rows.dtype) @ rows
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(ctx, upstream: Tensor):
        (gradient,) = ctx.saved_tensors
        return gradient * upstream.to(gradient.dtype), None, None, None


def goal_of(vocabulary: DraftVocabulary, depth: Depth) -> tuple[Tensor, Tensor]:
    """Draft-vocabulary indices [count, k] and their shares of the goal; tokens outside have none."""
    index = vocabulary.index[depth.likely_tokens]
    share = depth.likely_probabilities.float()
    sharp = torch.zeros_like(share)
    sharp[:, 0] = share.sum(-1)
    weight = GREEDY_SHARE * depth.greedy[:, None].float()
    goal = (weight * sharp + (1 - weight) * share) * (index >= 0)
    return index.clamp(min=0), goal


def draft_loss(x: Tensor, vocabulary: DraftVocabulary, depth: Depth) -> Tensor:
    """Summed over rows; x [count, hidden] is the head's normed output."""
    index, goal = goal_of(vocabulary, depth)
    return _CrossEntropy.apply(x.to(vocabulary.rows.dtype), vocabulary.rows, index, goal)
