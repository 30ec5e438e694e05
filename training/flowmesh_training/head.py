"""The draft head: one or more decoder layers that guess the token after next (EAGLE-3, arXiv 2503.01840).

Row t reads the target's tapped residual stream at verified position t and the token x[t+1], and gives the
distribution of x[t+2]. It goes on from its own output: the row of a drafted token takes its parent's output in
place of taps. The engine's forward pass is that of `models/draft/head-graph.ts`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear, rms_norm, silu

from .target import Target, rotary, rotate


@dataclass(frozen=True)
class HeadShape:
    hidden: int
    taps: tuple[int, ...]
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    rope_base: float
    rms_eps: float

    @property
    def qkv_rows(self) -> int:
        return (self.heads + 2 * self.kv_heads) * self.head_dim


def head_shape(target: Target, taps: tuple[int, ...], layers: int) -> HeadShape:
    """A head whose layers are of the target's own shape."""
    config = target.config
    return HeadShape(
        hidden=config.hidden,
        taps=taps,
        layers=layers,
        heads=config.heads,
        kv_heads=config.kv_heads,
        head_dim=config.head_dim,
        ffn=config.ffn,
        rope_base=config.rope_base,
        rms_eps=config.rms_eps,
    )


class HeadLayer(nn.Module):
    """A pre-norm decoder layer. The first one reads the token's embedding beside the feature."""

    def __init__(self, shape: HeadShape, reads_embedding: bool):
        super().__init__()
        hidden = shape.hidden
        self.qkv = _matrix(shape.qkv_rows, hidden * (2 if reads_embedding else 1))
        self.attn_output = _matrix(hidden, shape.heads * shape.head_dim)
        self.gate_up = _matrix(2 * shape.ffn, hidden)
        self.down = _matrix(hidden, shape.ffn)
        self.norm_mlp = nn.Parameter(torch.ones(hidden))
        if not reads_embedding:
            self.norm_attention = nn.Parameter(torch.ones(hidden))
            # A layer behind the first begins by changing nothing.
            nn.init.zeros_(self.attn_output)
            nn.init.zeros_(self.down)


class DraftHead(nn.Module):
    def __init__(self, shape: HeadShape):
        super().__init__()
        self.shape = shape
        hidden = shape.hidden
        self.fc = _matrix(hidden, len(shape.taps) * hidden)
        self.layers = nn.ModuleList(HeadLayer(shape, reads_embedding=i == 0) for i in range(shape.layers))
        self.norm_embedding = nn.Parameter(torch.ones(hidden))
        self.norm_feature = nn.Parameter(torch.ones(hidden))
        self.norm_output = nn.Parameter(torch.ones(hidden))

    def fuse(self, taps: Tensor) -> Tensor:
        """Features [..., hidden] of verified positions, from taps [..., taps · hidden]."""
        normed = rms_norm(
            taps.float().unflatten(-1, (-1, self.shape.hidden)), (self.shape.hidden,), None, self.shape.rms_eps
        )
        return linear(normed.flatten(-2), self.fc)

    def enter(self, embedded: Tensor, features: Tensor) -> Tensor:
        """What the first layer's attention reads: [..., 2 · hidden]."""
        return torch.cat((self.norm(embedded, self.norm_embedding), self.norm(features, self.norm_feature)), dim=-1)

    def norm(self, x: Tensor, gain: Tensor) -> Tensor:
        return rms_norm(x.float(), (self.shape.hidden,), gain, self.shape.rms_eps)

    def project(self, layer: HeadLayer, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries, rotated keys and values [rows, heads, n, head_dim] of x [rows, n, …]."""
        shape = self.shape
        by_head = linear(x, layer.qkv).unflatten(-1, (-1, shape.head_dim)).transpose(1, 2)
        cosine, sine = rotary(positions, shape.head_dim, shape.rope_base)
        rotated = shape.heads + shape.kv_heads
        turned = rotate(by_head[:, :rotated].float(), cosine[:, None], sine[:, None]).to(by_head.dtype)
        query, keys = turned.split((shape.heads, shape.kv_heads), dim=1)
        return query, keys, by_head[:, rotated:]

    def finish(self, layer: HeadLayer, residual: Tensor, attended: Tensor) -> Tensor:
        """The layer's output, from its input [..., hidden] and what its attention gathered."""
        residual = residual + linear(attended, layer.attn_output)
        gate, up = linear(self.norm(residual, layer.norm_mlp), layer.gate_up).chunk(2, dim=-1)
        return residual + linear(silu(gate) * up, layer.down)


class DraftVocabulary:
    """The target's own embedding and LM head rows that a head reads and draws from; none of them is trained."""

    def __init__(self, target: Target, tokens: Tensor):
        self.tokens = tokens
        self.embedding = target.embedding
        rows = target.lm_head[tokens].float() * target.output_norm
        self.rows = rows.to(target.dtype)
        self.index = torch.full((target.config.vocabulary,), -1, dtype=torch.long, device=tokens.device)
        self.index[tokens] = torch.arange(len(tokens), device=tokens.device)

    def __len__(self) -> int:
        return len(self.tokens)

    def embed(self, tokens: Tensor) -> Tensor:
        return embedding(tokens, self.embedding)


def _matrix(rows: int, columns: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(rows, columns) * columns**-0.5)
