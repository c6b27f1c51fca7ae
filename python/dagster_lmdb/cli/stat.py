"""``dagster-lmdb stat``: what a store holds."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from dagster_lmdb._opening import open_store
from dagster_lmdb._texts import json_text
from dagster_lmdb.cli.progress import progress_bar
from dagster_lmdb.cli.sizes import readable
from dagster_lmdb.cli.store import store_arguments

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
    store = open_store(directory, overrides)
    with progress_bar() as report:
        facts = store.stat(report)
    if as_json:
        click.echo(json_text(facts, indent=2))
        return
    lines = list(_lines(facts))
    width = max((len(name) for name, _ in lines), default=0)
    for name, value in lines:
        click.echo(f"{name:<{width}}  {value}".rstrip())


def _lines(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield _label(name), ""
            for row, (count, size, *_) in value.items():
                yield f"  {_label(row)}", f"{count:>12,}  {readable(size):>10}"
        else:
            yield _label(name), _text(name, value)


def _label(name: str) -> str:
    return name.replace("_", " ")


def _text(name: str, value: object) -> str:
    if isinstance(value, float):
        return datetime.fromtimestamp(value).isoformat(" ", "seconds")
    if isinstance(value, int):
        is_size = name.endswith(("bytes", "size"))
        return f"{value:,} ({readable(value)})" if is_size and value >= 1024 else f"{value:,}"
    return str(value)
