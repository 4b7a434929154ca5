"""`python -m ltxd …` is `ltxd …`."""

from __future__ import annotations

import os
import sys

from ltxd._binary import binary


def main() -> None:
    """Becomes the command, with the same arguments."""
    path = str(binary())
    os.execv(path, [path, *sys.argv[1:]])


if __name__ == "__main__":
    main()
