"""`python -m flowmesh_training`: the whole way from prompts to a draft head's two files. See ../README.md."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from pathlib import Path

import torch

from .answers import answer_tokens
from .batches import file_batches
from .evaluate import hit_rates
from .export import sha256, write_head
from .generate import GenerationPlan, answers_files
from .head import DraftHead, DraftVocabulary
from .options import parse
from .problem import Problem, run
from .progress import Progress
from .shares import make_answers, read_prompts, share_threads, target_of, train
from .target import Target
from .vocabulary import likeliest_tokens
from .workers import in_workers

# Of the time that is given: the target's answers, then the training; what is left measures and exports.
GENERATION_SHARE = 0.45
TRAINING_SHARE = 0.5
# One file of answers in so many is kept apart and measured on.
HELD_OUT = 25
CONTEXT_TOKENS = 1024
EVALUATION_TOKENS = 4096


def main() -> None:
    options = parse()
    started = time.monotonic()
    torch.manual_seed(options.seed)
    share_threads(options)
    prompts = read_prompts(options.prompts)
    target = target_of(options.model, options.device)
    taps = options.taps or default_taps(target.config.layers)
    if max(taps) != target.config.layers or min(taps) < 1:
        raise Problem(f"--taps must be layers from 1 to {target.config.layers} and end with {target.config.layers}")
    options.work.mkdir(parents=True, exist_ok=True)
    plan = GenerationPlan(
        folder=options.work / "answers",
        taps=taps,
        eos=frozenset(options.eos),
        seed=options.seed,
        tokens=options.tokens,
        answer_tokens=options.answer_tokens,
        context_tokens=CONTEXT_TOKENS,
        rows=min(options.rows, max(1, len(prompts) // 4)),
    )
    remember(options, target, plan)
    seconds = options.hours * 3600
    in_workers(options.workers, make_answers, options, plan, GENERATION_SHARE * seconds - (time.monotonic() - started))
    files = answers_files(plan.folder)
    if len(files) < 2:
        raise Problem(f"{len(prompts)} prompts are too few: at least 8 are needed, to train and to measure on others")
    held_out = files[::HELD_OUT]
    learnt = [path for path in files if path not in held_out]

    count = min(options.vocabulary, target.config.vocabulary)
    tokens, coverage = likeliest_tokens(learnt, target.config.vocabulary, count, options.eos)
    Progress("vocabulary", count).tell(count, f"holds {coverage:.4f} of the target's choices", last=True)

    left = max(started + (GENERATION_SHARE + TRAINING_SHARE) * seconds - time.monotonic(), TRAINING_SHARE * seconds)
    head, steps = in_workers(options.workers, train, options, taps, tokens.tolist(), learnt, left)
    vocabulary = DraftVocabulary(target, tokens.to(options.device))

    manifest = {
        "target": {
            "name": options.target_name or options.model.stem,
            "trainedOn": options.model.name,
            "sha256": sha256(options.model),
            "hidden": target.config.hidden,
            "layers": target.config.layers,
            "vocabulary": target.config.vocabulary,
        },
        "licence": options.licence,
        "tokenizerSha256": options.tokenizer_sha256,
        "acceptance": measure(head, vocabulary, held_out, greedy=True),
        "training": {
            "method": "EAGLE-3: the target's own answers, its distributions as goal, the head's own drafts",
            "prompts": len(prompts),
            "answerTokens": sum(map(answer_tokens, learnt)),
            "steps": steps,
            "seed": options.seed,
            "from": options.init.name if options.init else None,
            "vocabularyCoverage": round(coverage, 4),
            "sampledRows": measure(head, vocabulary, held_out, greedy=False)["rows"],
            "sources": options.sources,
        },
    }
    path = write_head(options.out, options.name, head, tokens, manifest)
    Progress("export", 1).tell(1, str(path), last=True)


def default_taps(layers: int) -> tuple[int, ...]:
    """About a quarter, half, and all of the way up."""
    return tuple(sorted({max(1, round(layers * 0.27)), max(1, round(layers * 0.53)), layers}))


def remember(options: Namespace, target: Target, plan: GenerationPlan) -> None:
    """Answers are the target's and the plan's: a folder with others is refused, not mixed."""
    settings = {
        "model": target.config.name,
        "prompts": sha256(options.prompts),
        "taps": list(plan.taps),
        "seed": plan.seed,
        "answerTokens": plan.answer_tokens,
        "rows": plan.rows,
    }
    path = options.work / "settings.json"
    if path.exists() and json.loads(path.read_text()) != settings:
        raise Problem(f"{options.work} holds answers of another model, other prompts or settings; give another --work")
    path.write_text(json.dumps(settings, indent=2) + "\n")


def measure(head: DraftHead, vocabulary: DraftVocabulary, files: list[Path], greedy: bool) -> dict:
    """Hit rates on greedy answers, or on sampled ones, that were not learnt from."""
    device = vocabulary.rows.device
    batches = [batch.to(device) for path in files for batch in file_batches(path, EVALUATION_TOKENS)]
    with torch.autocast(device.type, dtype=torch.bfloat16):
        rates = hit_rates(head, vocabulary, batches, greedy)
    rows = rates.rows()
    kind = "greedy" if greedy else "sampled"
    Progress("evaluate", len(files)).tell(len(files), f"{kind}: first guess right {rows[0]['top1']:.3f}", last=True)
    return {
        "prompts": sum(int((batch.greedy == greedy).sum()) for batch in batches),
        "tokens": rates.counts[0],
        "temperature": 0 if greedy else 1,
        "rows": rows,
    }


if __name__ == "__main__":
    run(main)
