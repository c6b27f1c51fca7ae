"""Queries, asked of ours and of peers that may not answer."""

from collections.abc import Callable
from typing import Any, TypeVar

from benches.conftest import Bench
from benches.peers import OutOfPatienceError, patiently

S = TypeVar("S")


def ask(bench: Bench, storage: S, query: Callable[[S], Any]) -> Any:
    """Times a query, and gives our answer; why a peer has no figure is noted."""
    if bench.ours:
        return bench.repeat(lambda: query(storage))
    try:
        with patiently():
            query(storage)
    except OutOfPatienceError:
        bench.gave_up("over 60 s")
    except NotImplementedError:
        bench.gave_up("not supported")
    except Exception as error:
        # Dagster's storages say in many ways what they cannot do alone.
        bench.gave_up(f"refused ({type(error).__name__})")
    else:
        bench.repeat(lambda: query(storage))
    return None
