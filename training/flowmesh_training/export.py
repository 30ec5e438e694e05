"""A head's two files: weights as safetensors in fp16, and the manifest that says what they are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from .head import DraftHead
from .problem import Problem

FORMAT = "flowmesh-draft-head"


def named_weights(head: DraftHead) -> dict[str, Tensor]:
    """Weights by their names in the file; the parts of the first layer have no prefix."""
    return {name.removeprefix("layers.0."): weights.detach() for name, weights in head.state_dict().items()}


def write_head(folder: Path, name: str, head: DraftHead, tokens: Tensor, manifest: dict) -> Path:
    """Writes NAME.safetensors and NAME.json; `manifest` is completed by what follows from the head."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / f"{name}.safetensors"
    aside = weights.with_suffix(".safetensors.part")
    tensors = {each: values.half().contiguous().cpu() for each, values in named_weights(head).items()}
    save_file({**tensors, "vocabulary": tokens.int().cpu()}, aside)
    shape = head.shape
    whole = {
        "format": FORMAT,
        "version": 2,
        "weights": {"file": weights.name, "sha256": sha256(aside)},
        **manifest,
        "taps": list(shape.taps),
        "layers": shape.layers,
        "heads": shape.heads,
        "kvHeads": shape.kv_heads,
        "headDim": shape.head_dim,
        "ffn": shape.ffn,
        "ropeBase": shape.rope_base,
        "rmsEps": float(f"{shape.rms_eps:.6g}"),
        "draftVocabulary": len(tokens),
    }
    path = folder / f"{name}.json"
    path_aside = folder / f"{name}.json.part"
    path_aside.write_text(json.dumps(whole, indent=2) + "\n")
    aside.rename(weights)
    path_aside.rename(path)
    return path


def load_weights(path: Path, head: DraftHead) -> None:
    """Begins a head with the weights that a manifest names; layers that they lack stay as they are."""
    try:
        manifest = json.loads(path.read_text())
        stored = load_file(path.parent / manifest["weights"]["file"])
    except (OSError, ValueError, KeyError) as error:
        raise Problem(f"{path} cannot be read as a draft head: {error}") from error
    if manifest.get("taps") != list(head.shape.taps):
        raise Problem(f"{path} taps layers {manifest.get('taps')}, not {list(head.shape.taps)}")
    own = head.state_dict()
    for name in own:
        tensor = stored.get(name.removeprefix("layers.0."))
        if tensor is None and not name.startswith("layers."):
            raise Problem(f"{path} has no {name}")
        if tensor is None:
            continue
        if tensor.shape != own[name].shape:
            raise Problem(f"{path}: {name} is {list(tensor.shape)}, where this target needs {list(own[name].shape)}")
        own[name].copy_(tensor)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
