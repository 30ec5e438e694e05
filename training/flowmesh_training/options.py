"""Options of the trainer."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="flowmesh_training", description="Trains a draft head for a GGUF model.")
    add = parser.add_argument
    add("--eos", type=ids, required=True, help="token ids that end an answer: 2,0")
    add("--name", required=True)
    add("--target-name", default="")
    add("--hours", type=positive, required=True)
    add("--tokens", type=int, default=4_000_000, help="enough tokens of answers")
    add("--answer-tokens", type=int, default=208, help="the most of one answer")
    add("--steps", type=int, help="training steps, in place of those that fit into the time")
    add("--vocabulary", type=int, default=16384)
    add("--layers", type=int, default=1)
    add("--taps", type=ids, help="layers of the target, 1-based, ending with the last")
    add("--licence", default="unknown")
    add("--sources", default="")
    add("--tokenizer-sha256", default="0" * 64)
    add("--init", type=Path, help="a head's manifest to begin with")
    add_shared(parser)
    return parser.parse_args()


def add_shared(parser: argparse.ArgumentParser) -> None:
    """What every program of the package takes: what it works on, where, and with how much of the machine."""
    add = parser.add_argument
    add("--model", type=Path, required=True, help="the target: a GGUF file of the llama architecture")
    add("--prompts", type=Path, required=True, help='JSON lines of {"tokens": […]}')
    add("--work", type=Path, required=True, help="folder for what is made on the way; a stopped run goes on there")
    add("--out", type=Path, required=True, help="what is made in the end")
    add("--seed", type=int, default=1)
    add("--rows", type=int, default=192, help="answers at once")
    add("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    add("--threads", type=int, help="of all workers together")
    add("--workers", type=int, default=1, help="processes that share the work; each has a batch of its own in a step")


def ids(text: str) -> tuple[int, ...]:
    return tuple(sorted({int(part) for part in text.split(",")}))


def positive(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("more than 0 is needed")
    return value
