"""Prompts that the target writes: the program itself, on a tiny model."""

import json
import subprocess
import sys
from pathlib import Path

from .test_generate import prompts
from .tiny_target import TinyTargetTest

ENDS = (7, 11)
COUNT = 40


class AskTest(TinyTargetTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.beginnings = prompts(COUNT)
        lines = (json.dumps({"tokens": tokens}) + "\n" for tokens in cls.beginnings)
        (cls.path / "beginnings.jsonl").write_text("".join(lines))

    def ask(self, name: str, *more: str) -> list[list[int]]:
        work = self.path / name
        arguments = {
            "--model": self.path / "tiny.gguf",
            "--prompts": self.path / "beginnings.jsonl",
            "--ends": ",".join(map(str, ENDS)),
            "--work": work,
            "--out": work / "written.jsonl",
            "--rows": "16",
        }
        program = [sys.executable, "-m", "flowmesh_training.ask"]
        given = [str(part) for pair in arguments.items() for part in pair]
        subprocess.run([*program, *given, *more], cwd=Path(__file__).parent.parent, check=True, stdout=subprocess.DEVNULL)
        return [json.loads(line)["tokens"] for line in (work / "written.jsonl").read_text().splitlines()]

    def test_goes_on_with_each_beginning_up_to_the_end_of_the_turn(self):
        written = self.ask("one")
        self.assertGreater(len(written), 3)
        self.assertLess(len(written), COUNT)
        for tokens in written:
            begun = [each for each in self.beginnings if tokens[: len(each)] == each]
            self.assertEqual(len(begun), 1)
            self.assertFalse(set(tokens[len(begun[0]) :]) & set(ENDS))

    def test_the_same_seed_gives_the_same_and_others_give_others_however_many_share_the_work(self):
        one = self.ask("same", "--seed", "3")
        self.assertEqual(one, self.ask("same", "--seed", "3"))
        self.assertEqual(one, self.ask("shared", "--seed", "3", "--workers", "2"))
        self.assertNotEqual(one, self.ask("other", "--seed", "4"))
