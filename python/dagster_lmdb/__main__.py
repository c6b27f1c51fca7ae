"""``python -m dagster_lmdb`` is the command ``dagster-lmdb``."""

from dagster_lmdb.cli import main

main(prog_name="dagster-lmdb")
