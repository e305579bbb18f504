"""One process of `serve --workers`: a node that ends when its supervisor does, however that was ended.

The supervisor holds the other end of its standard input, and closes it to have the worker end.
"""

from __future__ import annotations

import os
import sys
import threading

from .main import main
from .serve import SUPERVISOR_GONE


def _follow() -> None:
    os.read(0, 1)  # nothing is ever written there, so this is its end
    os.kill(os.getpid(), SUPERVISOR_GONE)


if __name__ == "__main__":
    threading.Thread(target=_follow, daemon=True).start()
    sys.exit(main())
