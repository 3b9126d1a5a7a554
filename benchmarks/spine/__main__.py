"""``python -m benchmarks.spine NAME``: see the package."""

from __future__ import annotations

import sys
from importlib import import_module

NAMES = ("decision", "kills", "race", "truth")


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in NAMES:
        sys.stderr.write(f"usage: python -m benchmarks.spine {'|'.join(NAMES)} [N]\n")
        return 2
    size = int(arguments[1]) if len(arguments) > 1 else None
    module = import_module(f"benchmarks.spine.{arguments[0]}")
    return int(module.run(size))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
