"""Lengths of time, as people write them."""

import re

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class Age(click.ParamType[float]):
    """A length of time in seconds: ``90s``, ``30m``, ``12h``, ``7d`` or ``2w``."""

    name = "age"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", str(value).strip().lower())
        if match is None:
            self.fail(f"{value!r} is not a length of time, such as 30m, 12h, 7d or 2w", param, ctx)
        return float(match[1]) * _UNITS[match[2]]
