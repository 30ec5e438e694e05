"""`python -m flowmesh_training.ask`: prompts that the target writes itself.

A model that was taught to chat has read both sides of conversations. Given the beginning of a user's turn it goes on
as a user would, so nobody has to provide prompts (Magpie, arXiv 2406.08464).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from .answers import read_sequences
from .generate import GenerationPlan, answers_files
from .options import add_shared, ids
from .problem import run
from .shares import make_answers, read_prompts, share_threads, target_of
from .workers import in_workers

# Hotter than answers: what matters is that no two are alike.
TEMPERATURES = (1.0, 0.9)
# A longer one has mostly gone on to answer itself.
PROMPT_TOKENS = 96
# All beginnings are gone on with, however long that takes.
NO_END = 10**9


def main() -> None:
    options = parse()
    share_threads(options)
    target = target_of(options.model, options.device)
    plan = GenerationPlan(
        folder=options.work / "written",
        taps=(target.config.layers,),
        eos=frozenset(options.ends),
        seed=options.seed,
        tokens=len(read_prompts(options.prompts)) * PROMPT_TOKENS * options.workers,
        answer_tokens=PROMPT_TOKENS,
        context_tokens=NO_END,
        rows=options.rows,
        temperatures=TEMPERATURES,
        step="ask",
    )
    in_workers(options.workers, make_answers, options, plan, NO_END)
    aside = options.out.with_suffix(".part")
    with aside.open("w") as lines:
        for tokens in finished(answers_files(plan.folder), plan.eos):
            lines.write(json.dumps({"tokens": tokens}) + "\n")
    aside.rename(options.out)


def finished(files: Iterable[Path], ends: frozenset[int]) -> Iterator[list[int]]:
    """Beginning and what was written behind it, up to the end of the turn; of those that came to an end."""
    for path in files:
        for sequence in read_sequences(path):
            *tokens, last = sequence.tokens.tolist()
            if last in ends:
                yield tokens


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="flowmesh_training.ask",
        description="Prompts that the target writes itself, going on with beginnings (--prompts); written as those are.",
    )
    parser.add_argument("--ends", type=ids, required=True, help="token ids that end a turn: 2,0")
    add_shared(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
