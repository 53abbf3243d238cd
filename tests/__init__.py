"""The tests, in the wings of `harness/`; what several wings share lies here."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
