"""History into Parquet files, in increments.

``destination`` owns the directory: who may write to it, and how an increment becomes visible.
``manifest`` says what is in it and whose history that is; ``parquet`` writes the files of one
table; ``export`` puts them together.
"""
