"""Moments in a store's history, as people write them."""

import click

from dagster_lmdb._moments import Moment, moment_of


class MomentType(click.ParamType[Moment]):
    """A record's number, a time, or the end of a run."""

    name = "moment"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Moment:
        if isinstance(value, Moment):
            return value
        try:
            return moment_of(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
