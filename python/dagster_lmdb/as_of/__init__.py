"""Instances as of a moment: the setting ``as_of`` of a storage.

``cache`` keeps directories that many processes share, ``view`` makes forks of a store in it and
reads them, ``source`` opens a store that cannot be written to, ``settings`` says what a storage's
configuration asks for, ``errors`` what is refused.
"""
