"""``python -m phasegate``."""

from __future__ import annotations

import sys

from phasegate.cli import main

if __name__ == "__main__":
    sys.exit(main())
