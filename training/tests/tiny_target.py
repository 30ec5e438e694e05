"""A llama of two layers with random weights, written as a GGUF file."""

import tempfile
import unittest
from pathlib import Path

import numpy as np
from gguf import GGUFWriter

HIDDEN, FFN, LAYERS, HEADS, KV_HEADS, VOCABULARY = 64, 96, 2, 4, 2, 60


def write_tiny_target(path: Path, seed: int = 1) -> None:
    random = np.random.default_rng(seed)
    writer = GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(256)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_rope_freq_base(1000.0)
    writer.add_layer_norm_rms_eps(1e-5)

    def add(name: str, *shape: int) -> None:
        spread = shape[-1] ** -0.5 if len(shape) > 1 else 0.1
        values = random.normal(0.0 if len(shape) > 1 else 1.0, spread, shape)
        writer.add_tensor(name, values.astype(np.float32))

    add("token_embd.weight", VOCABULARY, HIDDEN)
    add("output.weight", VOCABULARY, HIDDEN)
    add("output_norm.weight", HIDDEN)
    kv = HIDDEN // HEADS * KV_HEADS
    for i in range(LAYERS):
        add(f"blk.{i}.attn_norm.weight", HIDDEN)
        add(f"blk.{i}.attn_q.weight", HIDDEN, HIDDEN)
        add(f"blk.{i}.attn_k.weight", kv, HIDDEN)
        add(f"blk.{i}.attn_v.weight", kv, HIDDEN)
        add(f"blk.{i}.attn_output.weight", HIDDEN, HIDDEN)
        add(f"blk.{i}.ffn_norm.weight", HIDDEN)
        add(f"blk.{i}.ffn_gate.weight", FFN, HIDDEN)
        add(f"blk.{i}.ffn_up.weight", FFN, HIDDEN)
        add(f"blk.{i}.ffn_down.weight", HIDDEN, FFN)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class TinyTargetTest(unittest.TestCase):
    """Has a folder at `path`, and the target in its `tiny.gguf`."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = Path(cls.folder.name)
        write_tiny_target(cls.path / "tiny.gguf")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()
