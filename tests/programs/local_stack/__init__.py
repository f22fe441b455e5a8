"""The whole application on one machine: a local engine in AWS's place, a stand-in for Whop, the real template.

Nothing here ships. `make demo`, `make up` and the end-to-end tests are made of it.
"""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
"""The repository's folder."""

IMPORT_PATH = os.pathsep.join(str(ROOT / folder) for folder in ("shared", "tests", "tests/programs", "."))
"""PYTHONPATH of a process that runs the project's code."""
