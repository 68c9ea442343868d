"""What the scripts in tools/ and the tests in tests/ share. Python 3.11, standard library only."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
