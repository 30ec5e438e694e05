"""How a program of this package ends when it cannot go on."""

from __future__ import annotations

import sys
from collections.abc import Callable


class Problem(Exception):
    """What a user can mend; told in one line, without a trace."""


def run(main: Callable[[], None]) -> None:
    """With the exit codes that the starting program knows: 2 for bad input, 130 when stopped."""
    try:
        main()
    except Problem as problem:
        print(f"flowmesh_training: {problem}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("flowmesh_training: stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
