"""Queries, asked of ours and of peers that may not answer."""

from collections.abc import Callable
from typing import Any, TypeVar

from benches.conftest import Bench
from benches.peers import OutOfPatienceError, patiently

S = TypeVar("S")


#: By question: how many things our answer has.
_SIZES: dict[str, int] = {}


def ask(bench: Bench, storage: S, query: Callable[[S], Any], question: str) -> None:
    """Times a query, or notes why a peer has no figure.

    Ours is the first to answer each question, and has as many things to say each time, whatever the
    history. A peer that has not answers another question.

    Args:
        bench: The measuring.
        storage: Who is asked.
        query: The query.
        question: Its name, the same for histories of all sizes.
    """
    if bench.ours:
        answered(question, bench.repeat(lambda: query(storage)))
        return
    try:
        with patiently():
            answer = query(storage)
    except OutOfPatienceError:
        bench.gave_up("over 60 s")
    except NotImplementedError:
        bench.gave_up("not supported")
    except Exception as error:
        # Dagster's storages say in many ways what they cannot do alone.
        bench.gave_up(f"refused ({type(error).__name__})")
    else:
        if answer_size(answer) == _SIZES[question]:
            bench.repeat(lambda: query(storage))
        else:
            bench.gave_up("another answer")


def answered(question: str, answer: Any) -> None:
    """Checks that our answer is as large as before."""
    size = answer_size(answer)
    assert _SIZES.setdefault(question, size) == size, f"{question}: {_SIZES[question]} then {size}"


def answer_size(answer: Any) -> int:
    """How many things an answer has."""
    return len(answer) if hasattr(answer, "__len__") else 1
