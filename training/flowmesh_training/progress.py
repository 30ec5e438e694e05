"""Progress as lines of JSON on standard output, for the program that started the training."""

from __future__ import annotations

import json
import sys
import time


class Progress:
    """Tells one step's progress, at most every `seconds`; nothing when another worker is the one to tell it."""

    def __init__(self, step: str, of: float, seconds: float = 2.0, silent: bool = False):
        self.step = step
        self.of = of
        self.seconds = seconds
        self.silent = silent
        self.told = 0.0

    def tell(self, done: float, note: str = "", last: bool = False) -> None:
        now = time.monotonic()
        if self.silent or (not last and now - self.told < self.seconds):
            return
        self.told = now
        json.dump({"step": self.step, "done": round(done, 4), "of": round(self.of, 4), "note": note}, sys.stdout)
        sys.stdout.write("\n")
        sys.stdout.flush()
