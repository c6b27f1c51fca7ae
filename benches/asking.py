"""Queries, asked of ours and of peers that may not answer."""

from collections.abc import Callable
from typing import Any, TypeVar

from benches.answers import answer_size, content
from benches.conftest import Bench
from benches.peers import OutOfPatienceError, patiently

S = TypeVar("S")


#: By question: how many things our answer has. By row: what it says.
_SIZES: dict[str, int] = {}
_CONTENTS: dict[str, Any] = {}


def ask(bench: Bench, storage: S, query: Callable[[S], Any], question: str) -> None:
    """Times a query, or notes why a peer has no figure.

    Ours is the first to answer each question, and has as many things to say each time, whatever the
    history. A peer that does not say the same of the same history answers another question.

    Args:
        bench: The measuring.
        storage: Who is asked.
        query: The query.
        question: Its name, the same for histories of all sizes.
    """
    if bench.ours:
        answer = bench.repeat(lambda: query(storage))
        answered(question, answer)
        _CONTENTS.setdefault(bench.row, content(answer))
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
        if content(answer) == _CONTENTS[bench.row]:
            bench.repeat(lambda: query(storage))
        else:
            bench.gave_up("another answer")


def answered(question: str, answer: Any) -> None:
    """Checks that our answer is as large as before."""
    size = answer_size(answer)
    assert _SIZES.setdefault(question, size) == size, f"{question}: {_SIZES[question]} then {size}"
