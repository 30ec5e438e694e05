"""The target model in PyTorch: a llama-architecture GGUF file, with the residual stream tapped.

Weights are dequantised and kept in bfloat16, the residual stream in float32: as near to the engine's own
8-bit activations as those are to exact arithmetic, and several times faster than float32 on processors with
bfloat16 dot products.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader, dequantize
from torch import Tensor
from torch.nn.functional import embedding, linear, pad, rms_norm, silu

from .problem import Problem


@dataclass(frozen=True)
class TargetConfig:
    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocabulary: int
    rope_base: float
    rms_eps: float


@dataclass(frozen=True)
class Layer:
    """Matrices are [out, in]; q and k rows are in the order of half-split rotary embedding."""

    attention_norm: Tensor
    qkv: Tensor
    attention_output: Tensor
    mlp_norm: Tensor
    gate_up: Tensor
    down: Tensor


class Cache:
    """Keys and values of a batch of sequences: for each layer [rows, kv_heads, length, head_dim].

    Kept contiguous, and no longer than is needed, since every step reads all of it.
    """

    PAGE = 32

    def __init__(self, target: Target, rows: int):
        config = target.config
        empty = torch.zeros(rows, config.kv_heads, 0, config.head_dim, dtype=target.dtype, device=target.device)
        self.keys = [empty] * config.layers
        self.values = [empty] * config.layers

    @property
    def length(self) -> int:
        return self.keys[0].shape[2]

    def reserve(self, length: int) -> None:
        missing = length - self.length
        if missing > 0:
            more = -(-missing // self.PAGE) * self.PAGE
            self.keys = [pad(keys, (0, 0, 0, more)) for keys in self.keys]
            self.values = [pad(values, (0, 0, 0, more)) for values in self.values]

    def keep(self, rows: Tensor) -> None:
        """Drops all other sequences."""
        self.keys = [keys[rows] for keys in self.keys]
        self.values = [values[rows] for values in self.values]


class Target:
    def __init__(self, path: Path, device: torch.device, dtype: torch.dtype):
        try:
            reader = GGUFReader(path)
        except (OSError, ValueError) as error:
            raise Problem(f"{path} cannot be read as a GGUF file: {error}") from error
        tensors = {tensor.name: tensor for tensor in reader.tensors}
        self.config = config = _read_config(reader, tensors, path)
        self.device = device
        self.dtype = dtype

        def weights(name: str) -> Tensor:
            if name not in tensors:
                raise Problem(f"{path} has no tensor {name}; models of the llama architecture do")
            tensor = tensors[name]
            values = np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
            return torch.from_numpy(values.reshape(tuple(reversed(tensor.shape.tolist()))))

        def matrix(*names: str, rotated: tuple[int, ...] = ()) -> Tensor:
            parts = [weights(name) for name in names]
            for index in rotated:
                parts[index] = _half_split(parts[index], config.head_dim)
            return torch.cat(parts).to(device, dtype)

        def gain(name: str) -> Tensor:
            return weights(name).to(device)

        self.embedding = matrix("token_embd.weight")
        self.lm_head = matrix("output.weight") if "output.weight" in tensors else self.embedding
        self.output_norm = gain("output_norm.weight")
        self.layers = [
            Layer(
                attention_norm=gain(f"blk.{i}.attn_norm.weight"),
                qkv=matrix(
                    f"blk.{i}.attn_q.weight", f"blk.{i}.attn_k.weight", f"blk.{i}.attn_v.weight", rotated=(0, 1)
                ),
                attention_output=matrix(f"blk.{i}.attn_output.weight"),
                mlp_norm=gain(f"blk.{i}.ffn_norm.weight"),
                gate_up=matrix(f"blk.{i}.ffn_gate.weight", f"blk.{i}.ffn_up.weight"),
                down=matrix(f"blk.{i}.ffn_down.weight"),
            )
            for i in range(config.layers)
        ]

    def norm(self, x: Tensor, gain: Tensor | None) -> Tensor:
        return rms_norm(x, (self.config.hidden,), gain, self.config.rms_eps)

    def logits(self, last_tap: Tensor) -> Tensor:
        """Logits [n, vocabulary] from the residual stream [n, hidden] after the last layer."""
        return linear(self.norm(last_tap, self.output_norm).to(self.dtype), self.lm_head).float()

    def forward(self, tokens: Tensor, start: Tensor, cache: Cache, taps: tuple[int, ...]) -> Tensor:
        """The residual stream [rows, n, taps · hidden] after the tapped layers (1-based).

        `tokens` [rows, n] stand at positions start [rows] and on; their keys and values are written there.
        """
        config = self.config
        rows, count = tokens.shape
        positions = start[:, None] + torch.arange(count, device=self.device)
        cache.reserve(int(positions.max()) + 1)
        mask = self._mask(positions, cache.length)
        cosine, sine = rotary(positions, config.head_dim, config.rope_base)
        cosine, sine = cosine[:, None], sine[:, None]
        row = torch.arange(rows, device=self.device)[:, None]
        rotated_heads = config.heads + config.kv_heads
        residual = embedding(tokens, self.embedding).float()
        tapped = []
        for number, layer in enumerate(self.layers):
            qkv = linear(self.norm(residual, layer.attention_norm).to(self.dtype), layer.qkv)
            by_head = qkv.view(rows, count, rotated_heads + config.kv_heads, config.head_dim).transpose(1, 2)
            rotated = rotate(by_head[:, :rotated_heads].float(), cosine, sine)
            query, keys = rotated.split((config.heads, config.kv_heads), dim=1)
            cache.keys[number][row, :, positions] = keys.transpose(1, 2).to(self.dtype)
            cache.values[number][row, :, positions] = by_head[:, rotated_heads:].transpose(1, 2)
            attended = self._attend(query, cache.keys[number], cache.values[number], mask)
            residual = residual + linear(attended, layer.attention_output)
            gate, up = linear(self.norm(residual, layer.mlp_norm).to(self.dtype), layer.gate_up).chunk(2, dim=-1)
            residual = residual + linear(silu(gate) * up, layer.down)
            if number + 1 in taps:
                tapped.append(residual)
        return torch.cat(tapped, dim=-1)

    def _mask(self, positions: Tensor, length: int) -> Tensor:
        """[rows, 1, group · n, length]: query heads that share keys are taken as further rows of one head."""
        rows, count = positions.shape
        group = self.config.heads // self.config.kv_heads
        visible = torch.arange(length, device=self.device) <= positions[:, :, None]
        mask = torch.zeros(rows, 1, 1, count, length, device=self.device)
        mask.masked_fill_(~visible[:, None, None], float("-inf"))
        return mask.expand(-1, -1, group, -1, -1).reshape(rows, 1, group * count, length)

    def _attend(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """[rows, n, heads · head_dim]. Two batched products: for few queries faster than the fused kernel."""
        rows, heads, count, head_dim = query.shape
        kv_heads, length = keys.shape[1:3]
        scaled = (query * head_dim**-0.5).to(self.dtype).reshape(rows * kv_heads, -1, head_dim)
        scores = torch.bmm(scaled, keys.view(-1, length, head_dim).transpose(1, 2)).float()
        weights = (scores.view(rows, kv_heads, -1, length) + mask).softmax(-1).to(self.dtype)
        attended = torch.bmm(weights.view(rows * kv_heads, -1, length), values.view(-1, length, head_dim))
        return attended.view(rows, heads, count, head_dim).transpose(1, 2).reshape(rows, count, -1)


def rotary(positions: Tensor, head_dim: int, base: float) -> tuple[Tensor, Tensor]:
    """Cosine and sine [..., head_dim / 2] of positions [...]."""
    steps = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim
    angles = positions[..., None].float() * base**-steps
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Half-split rotary embedding of x [..., head_dim]."""
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cosine - right * sine, right * cosine + left * sine), dim=-1)


def _half_split(rows: Tensor, head_dim: int) -> Tensor:
    """GGUF stores llama q and k rows for interleaved rotary embedding; undoes that."""
    width = rows.shape[1]
    return rows.view(-1, head_dim // 2, 2, width).transpose(1, 2).reshape(-1, width)


def _read_config(reader: GGUFReader, tensors: dict, path: Path) -> TargetConfig:
    def value(key: str, default=None):
        field = reader.get_field(key)
        if field is None:
            if default is None:
                raise Problem(f"{path} does not say {key}")
            return default
        return field.contents()

    architecture = value("general.architecture")
    if architecture != "llama":
        raise Problem(f"{path} holds a model of the {architecture} architecture; only llama can be trained for")
    heads = int(value("llama.attention.head_count"))
    hidden = int(value("llama.embedding_length"))
    return TargetConfig(
        name=str(value("general.name", path.stem)),
        hidden=hidden,
        layers=int(value("llama.block_count")),
        heads=heads,
        kv_heads=int(value("llama.attention.head_count_kv", heads)),
        head_dim=int(value("llama.rope.dimension_count", hidden // heads)),
        ffn=int(value("llama.feed_forward_length")),
        vocabulary=int(tensors["token_embd.weight"].shape[1]),
        rope_base=float(value("llama.rope.freq_base", 10000.0)),
        rms_eps=float(value("llama.attention.layer_norm_rms_epsilon")),
    )
