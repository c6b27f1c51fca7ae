"""``dagster-lmdb stat``: what a store holds."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from dagster_lmdb.cli.sizes import readable
from dagster_lmdb.cli.store import open_store, store_arguments

_EXAMPLES = """\b
Examples:
  dagster-lmdb stat /var/lib/dagster/history
  dagster-lmdb stat /var/lib/dagster/history --json
"""


@click.command(epilog=_EXAMPLES)
@store_arguments
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def stat(directory: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Show sizes, versions and row counts of the store of DIR."""
    facts = open_store(directory, overrides).stat()
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    lines = list(_lines(facts))
    width = max((len(name) for name, _ in lines), default=0)
    for name, value in lines:
        click.echo(f"{name:<{width}}  {value}".rstrip())


def _lines(facts: Mapping[str, Any], indent: str = "") -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        label = indent + name.replace("_", " ")
        if isinstance(value, Mapping):
            yield label, ""
            yield from _lines(value, indent + "  ")
        else:
            yield label, _text(name, value)


def _text(name: str, value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        is_size = name.endswith(("bytes", "size"))
        return f"{value:,} ({readable(value)})" if is_size and value >= 1024 else f"{value:,}"
    return str(value)
