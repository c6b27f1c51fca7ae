"""Looking into runs: played again, as a trace, side by side, and carried elsewhere.

Each file has one subject and knows nothing of the command line: ``runs`` reads a run's events,
``timeline`` folds them into spans, ``player`` and ``screen`` play them, ``trace`` writes them as
trace events, ``diff`` compares two, ``extract`` and ``absorb`` carry them in a ``capsule``.
"""
