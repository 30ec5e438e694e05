"""Writes what a head drafts from recorded taps, in fp32 and row by row: the oracle of the engine's tests.

    python -m tests.write_reference MODEL.gguf HEAD.json ../test/fixtures/draft

Reads reference.json's first case (inputIds, rootToken) and reference-taps.f16 [rows, taps, hidden] there, and replaces
its greedyChain: at each depth the four likeliest draft tokens and their log-probabilities below the likeliest path.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from flowmesh_training.export import load_weights
from flowmesh_training.head import DraftHead, DraftVocabulary, head_shape
from flowmesh_training.target import Target

from .test_rollout import NaiveDrafter

DEPTHS = 4
BEST = 4


@torch.inference_mode()
def main(model: Path, manifest_path: Path, folder: Path) -> None:
    manifest = json.loads(manifest_path.read_text())
    target = Target(model, torch.device("cpu"), torch.float32)
    head = DraftHead(head_shape(target, tuple(manifest["taps"]), manifest.get("layers", 1)))
    load_weights(manifest_path, head)
    stored = load_file(manifest_path.parent / manifest["weights"]["file"])
    vocabulary = DraftVocabulary(target, stored["vocabulary"].long())
    cases = json.loads((folder / "reference.json").read_text())[:1]
    tokens = [*cases[0]["inputIds"], cases[0]["rootToken"]]
    recorded = np.fromfile(folder / "reference-taps.f16", dtype=np.float16).astype(np.float32)
    features = head.fuse(torch.from_numpy(recorded).view(len(tokens) - 1, -1))
    drafter = NaiveDrafter(head, vocabulary)
    for position, feature in enumerate(features):
        drafted = drafter.read(feature, tokens[position + 1], position)
    chain = []
    for depth in range(1, DEPTHS + 1):
        log_probs = (vocabulary.rows @ head.norm(drafted, head.norm_output)).log_softmax(-1)
        best = log_probs.topk(BEST)
        guesses = vocabulary.tokens[best.indices].tolist()
        chain.append({"depth": depth, "tokens": guesses, "logprobs": [round(each, 4) for each in best.values.tolist()]})
        drafted = drafter.read(drafted, guesses[0], len(tokens) - 2 + depth)
    cases[0]["greedyChain"] = chain
    (folder / "reference.json").write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
