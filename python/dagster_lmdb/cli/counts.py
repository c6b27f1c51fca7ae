"""Numbers of things, as people read them."""


def counted(number: int, thing: str) -> str:
    """A number of things: ``1 run``, ``2,000 runs``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
