"""Speeds, as people write them."""

import re

import click


class Speed(click.ParamType[float]):
    """How many seconds pass in one: ``10x``, ``0.5x`` or ``10``."""

    name = "speed"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*x?", str(value).strip().lower())
        if match is None or not float(match[1]):
            self.fail(f"{value!r} is not a speed, such as 10x or 0.5x", param, ctx)
        return float(match[1])
