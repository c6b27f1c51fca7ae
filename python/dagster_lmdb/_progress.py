"""How long work tells how far it is."""

from collections.abc import Callable

#: Called with a phase, how much of it is done, and how much there is (0 where nobody knows).
Report = Callable[[str, int, int], None]
