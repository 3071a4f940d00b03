"""``python -m phasegate.apps.outreach``."""

from __future__ import annotations

import sys

from phasegate.apps.outreach.cli import main

if __name__ == "__main__":
    sys.exit(main())
