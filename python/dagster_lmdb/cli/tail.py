"""``dagster-lmdb tail``: the records of a store, the last ones first come first."""

import json
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import click

from dagster_lmdb._core import EventLog, LmdbStoreError
from dagster_lmdb._opening import open_store
from dagster_lmdb._texts import json_text, printable
from dagster_lmdb.cli.store import store_arguments

_PAGE = 1000
_SAFETY_TIMEOUT = 1.0

_EXAMPLES = """\b
Examples:
  dagster-lmdb tail /var/lib/dagster/history
  dagster-lmdb tail /var/lib/dagster/history --run 0f1e2d3c-... --limit 1000
  dagster-lmdb tail /var/lib/dagster/history --follow --json | jq .event.user_message
"""


class Row(NamedTuple):
    """A record as ``EventLog.tail`` gives it; ``timestamp`` is in Unix seconds.

    ``subject`` is what the record is about, or the message of an event that is about a run.
    """

    sequence: int
    kind: str
    timestamp: float | None
    run_id: str | None
    event_type: str | None
    step_key: str | None
    subject: str | None


@click.command(epilog=_EXAMPLES)
@store_arguments
@click.option("--run", "run_id", metavar="ID", help="Show the records of one run.")
@click.option("--follow", "-f", is_flag=True, help="Go on with each record that is committed.")
@click.option(
    "--limit",
    "-n",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="How many of the last records to begin with.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def tail(
    directory: Path,
    overrides: tuple[str, ...],
    run_id: str | None,
    follow: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Show the last records of the store of DIR, in the order of their commits."""
    store = open_store(directory, overrides)
    # Read before the records are: a commit from here on ends the first wait.
    seen = store.commit_word()
    records = _Records(store, run_id)
    for row in records.last(limit):
        _show(store, row, as_json)
    with suppress(KeyboardInterrupt):
        while follow:
            for row in records.news():
                _show(store, row, as_json)
            seen = store.wait_for_commit(seen, _SAFETY_TIMEOUT)


class _Records:
    """The records of a store, or of one of its runs, and a place among them."""

    def __init__(self, store: EventLog, run_id: str | None) -> None:
        self._store = store
        self._run_id = run_id
        self._place = 0

    def news(self) -> Iterator[Row]:
        """The records after the place, which moves along."""
        while True:
            place = self._place
            rows, self._place = self._store.tail(after=place, run_id=self._run_id, limit=_PAGE)
            yield from map(Row._make, rows)
            if self._place == place:
                return

    def last(self, limit: int) -> Iterable[Row]:
        """The last records, after which the place is then."""
        end = self._store.head()
        limit = min(limit, end)
        if self._run_id is not None:
            self._place = self._store.before_last_of_run(self._run_id, limit)
            return deque(self.news(), maxlen=limit)
        # Sequences are dense but for what was removed: look further back until enough is left.
        reach = limit
        while True:
            self._place = begin = max(end - reach, 0)
            rows = deque(self.news(), maxlen=limit)
            if begin == 0 or len(rows) == limit:
                return rows
            reach *= 4


def _show(store: EventLog, row: Row, as_json: bool) -> None:
    if as_json:
        click.echo(json_text(row._asdict() | {"event": _event(store, row)}))
        return
    fields = [
        click.style(f"{row.sequence:>8}", dim=True),
        click.style(_local(row.timestamp), dim=True) if row.timestamp else "",
        click.style(printable(row.event_type or row.kind), bold=True),
        click.style(printable(row.run_id[:8]), fg="cyan") if row.run_id else "",
        click.style(printable(row.step_key), fg="green") if row.step_key else "",
        printable(" ".join((row.subject or "").split())),
    ]
    click.echo(" ".join(field for field in fields if field))


def _event(store: EventLog, row: Row) -> Any:
    """The event as Dagster packs it; None for another record, and for one that has gone."""
    if row.kind != "event":
        return None
    try:
        return json.loads(store.packed_json(row.sequence))
    except LmdbStoreError:
        return None


def _local(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp).isoformat(" ", "milliseconds")
