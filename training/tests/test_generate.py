"""Answers made many at once against the target read anew for every token."""

import random
import time
import unittest
from pathlib import Path

import torch
from safetensors.torch import load_file

from flowmesh_training.answers import read_sequences
from flowmesh_training.generate import LOOP_TOKENS, GenerationPlan, answers_files, generate
from flowmesh_training.problem import Problem
from flowmesh_training.target import Cache, Target
from flowmesh_training.workers import ALONE, Worker

from .tiny_target import VOCABULARY, TinyTargetTest

TAPS = (1, 2)
EOS = frozenset((7, 11))


def prompts(count: int) -> list[list[int]]:
    draw = random.Random(5)
    return [[draw.randrange(VOCABULARY) for _ in range(draw.randrange(2, 90))] for _ in range(count)]


class GenerateTest(TinyTargetTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.target = Target(cls.path / "tiny.gguf", torch.device("cpu"), torch.float32)

    def generate(
        self,
        name: str,
        count: int,
        tokens: int = 10**6,
        deadline: float = float("inf"),
        workers: tuple[Worker, ...] = (ALONE,),
    ) -> list[Path]:
        plan = GenerationPlan(
            folder=self.path / name,
            taps=TAPS,
            eos=EOS,
            seed=3,
            tokens=tokens,
            answer_tokens=40,
            context_tokens=256,
            rows=6,
        )
        for worker in workers:
            generate(self.target, prompts(count), plan, deadline, worker)
        return answers_files(plan.folder)

    def whole(self, tokens: list[int]) -> torch.Tensor:
        return self.target.forward(torch.tensor([tokens]), torch.zeros(1, dtype=torch.long), Cache(self.target, 1), TAPS)[0]

    @torch.inference_mode()
    def test_answers_taps_and_distributions_are_the_targets_own(self):
        files = self.generate("oracle", 14)
        given = sorted(map(tuple, prompts(14)))
        read = [sequence for path in files for sequence in read_sequences(path)]
        self.assertEqual(sorted(tuple(s.tokens[: s.prompt_length].tolist()) for s in read), given)
        greedy_answers = 0
        for sequence in read:
            tokens = sequence.tokens.tolist()
            answer = tokens[sequence.prompt_length :]
            taps = self.whole(tokens[:-1])
            torch.testing.assert_close(sequence.taps[:-1].float(), taps, rtol=0.01, atol=0.01)
            probabilities = self.target.logits(taps[:, -64:]).softmax(-1)
            for at in range(sequence.prompt_length - 1, len(tokens) - 1):
                likeliest = probabilities[at].topk(32)
                told = sequence.likely_probabilities[at].float()
                torch.testing.assert_close(told, likeliest.values, rtol=0.01, atol=1e-3)
                if sequence.temperature == 0:
                    self.assertEqual(tokens[at + 1], int(likeliest.indices[0]))
            greedy_answers += sequence.temperature == 0
            ended = answer[-1] in EOS or len(answer) == 40 or answer[-LOOP_TOKENS:] == answer[-LOOP_TOKENS - 1 : -1]
            self.assertTrue(ended or self.loops(answer), answer)
            self.assertFalse(EOS & set(answer[:-1]))
        self.assertGreater(greedy_answers, 3)
        self.assertLess(greedy_answers, 11)

    @staticmethod
    def loops(answer: list[int]) -> bool:
        last = answer[-LOOP_TOKENS:]
        return any(answer[i : i + LOOP_TOKENS] == last for i in range(len(answer) - LOOP_TOKENS))

    def test_a_stopped_run_goes_on_to_the_same_files(self):
        unbroken = self.generate("unbroken", 20)
        first = self.generate("stopped", 20, deadline=time.monotonic())
        self.assertEqual(len(first), 1)
        resumed = self.generate("stopped", 20)
        self.assertEqual([path.name for path in resumed], [path.name for path in unbroken])
        for one, other in zip(resumed, unbroken, strict=True):
            left, right = load_file(one), load_file(other)
            for name in left:
                self.assertTrue(torch.equal(left[name], right[name]), name)

    def test_ends_when_there_are_enough_tokens(self):
        few = self.generate("few", 40, tokens=50)
        self.assertLess(len(few), len(self.generate("few", 40)))

    def test_workers_share_the_files(self):
        alone = self.generate("alone", 20)
        one = self.generate("shared", 20, workers=(Worker(0, 2),))
        self.assertEqual(len(one), (len(alone) + 1) // 2)
        both = self.generate("shared", 20, workers=(Worker(1, 2),))
        self.assertEqual([path.name for path in both], [path.name for path in alone])
        for mine, theirs in zip(both, alone, strict=True):
            self.assertEqual(mine.read_bytes(), theirs.read_bytes())

    def test_a_file_that_is_no_gguf_is_refused_by_name(self):
        path = self.path / "other.gguf"
        path.write_bytes(b"not a model at all")
        with self.assertRaisesRegex(Problem, "other.gguf cannot be read"):
            Target(path, torch.device("cpu"), torch.float32)


if __name__ == "__main__":
    unittest.main()
