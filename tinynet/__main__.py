"""`python -m tinynet` is the command `tinynet`."""
from __future__ import annotations

import sys

from tinynet.cli import main

if __name__ == "__main__":
    sys.exit(main())
