"""What a node's data folder holds."""

import sqlite3
from pathlib import Path


def database(data):
    """A node's own database; the copy of its service's documents, where it belongs to one."""
    [path] = [*Path(data).glob("jobs.sqlite"), *Path(data).glob("cluster-*.sqlite")]
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True)


def rows(data):
    """{table: number of rows}"""
    with database(data) as opened:
        tables = opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {table: opened.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0] for (table,) in tables}


def files(data):
    """{path below the folder: size}, without what SQLite keeps beside its database while it is open."""
    found = {}
    for path in Path(data).rglob("*"):
        try:
            if path.is_file() and not path.name.endswith(("-shm", "-wal")):
                found[str(path.relative_to(data))] = path.stat().st_size
        except FileNotFoundError:  # It went meanwhile.
            pass
    return found
