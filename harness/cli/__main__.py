"""`python -m harness.cli` is `truename`."""

from harness.cli import main

main()
