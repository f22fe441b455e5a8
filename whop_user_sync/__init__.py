"""The operators' tool: commands for a deployed stack or the local one. Nothing here ships with the functions."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("whop_sync") is None:  # in a checkout, the functions' own package is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "shared"))
