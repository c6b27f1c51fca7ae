"""Windows of time, as people write them."""

import time
from datetime import datetime
from typing import NamedTuple

import click

from dagster_lmdb.cli.ages import Age


class TimeSpan(NamedTuple):
    """From one moment to another, in Unix seconds."""

    begin: float
    end: float


class Window(click.ParamType[TimeSpan]):
    """``2h`` for the last two hours, or ``FROM..TO`` as dates and times; either may be left out.

    A time without a zone is local.
    """

    name = "window"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> TimeSpan:
        if isinstance(value, TimeSpan):
            return value
        text, now = str(value).strip(), time.time()
        if ".." not in text:
            return TimeSpan(now - Age().convert(text, param, ctx), now)
        first, _, last = (part.strip() for part in text.partition(".."))
        try:
            window = TimeSpan(_moment(first, 0.0), _moment(last, now))
        except ValueError:
            self.fail(
                f"{text!r} is not a window of time, such as 2h or"
                " 2026-01-31T08:00..2026-01-31T12:00",
                param,
                ctx,
            )
        if window.begin > window.end:
            self.fail(f"{text!r} ends before it begins", param, ctx)
        return window


def _moment(text: str, otherwise: float) -> float:
    # Python 3.10 does not read a Z.
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else otherwise
