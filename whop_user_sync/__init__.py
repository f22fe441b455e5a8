"""What an operator runs from a checkout against a deployed stack. Nothing here ships with the functions."""

import sys
from pathlib import Path

# The functions' own package, which some commands share, is not installed anywhere.
_SHARED = str(Path(__file__).resolve().parents[1] / "shared")
if _SHARED not in sys.path:
    sys.path.insert(0, _SHARED)
