"""Sizes in bytes, as people write and read them."""

import re
from decimal import Decimal

import click

_UNITS = {"": 1, "b": 1} | {
    prefix + suffix: base**power
    for power, prefix in enumerate("kmgt", start=1)
    for suffix, base in (("", 1024), ("ib", 1024), ("b", 1000))
}


class Size(click.ParamType[int]):
    """A number of bytes: ``1073741824``, ``1GiB``, ``1G`` (the same) or ``1GB`` (10**9)."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        text = str(value)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
        unit = _UNITS.get(match[2]) if match else None
        if match is None or unit is None:
            self.fail(f"{text!r} is not a size, such as 64GiB, 500MB or 1073741824", param, ctx)
        return int(Decimal(match[1]) * unit)


def readable(size: float) -> str:
    """A number of bytes in the largest unit that it fills."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
