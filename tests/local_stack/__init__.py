"""The whole application on one machine: a local engine in AWS's place, a stand-in for Whop, the real template.

Nothing here ships. `make demo`, `make up` and the end-to-end tests are made of it.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The repository's folder."""
