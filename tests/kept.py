"""What a function has put into the empty database, put back at once the next time: for worlds that take long to make."""

from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql


class Shelf:
    """Copies of a database's rows by name, taken and put back by the schema's owner."""

    def __init__(self, connection: psycopg.Connection, tables: list[str]) -> None:
        """`tables` are all that a test may fill; the connection commits by itself."""
        self._connection, self._tables = connection, tables
        self._kept: dict[str, tuple[Any, dict[str, bytes], dict[str, int]]] = {}
        self._is_superuser = connection.execute("select rolsuper from pg_roles where rolname = current_user").fetchone() == (True,)

    def take(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` gives, and its rows: made the first time, copied from then on (but by a superuser only, who need not mind the order of tables)."""
        if name not in self._kept:
            made = make()
            if self._is_superuser:
                self._kept[name] = made, self._rows(), self._sequences()
            return made
        made, rows, sequences = self._kept[name]
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute("set local session_replication_role = replica")
            for table, content in rows.items():
                with cursor.copy(sql.SQL("copy {} from stdin").format(sql.Identifier(table))) as copy:
                    copy.write(content)
            for sequence, last in sequences.items():
                cursor.execute("select setval(%s, %s)", [sequence, last])
        return made

    def _rows(self) -> dict[str, bytes]:
        found = {}
        with self._connection.cursor() as cursor:
            for table in self._tables:
                with cursor.copy(sql.SQL("copy {} to stdout").format(sql.Identifier(table))) as copy:
                    if content := b"".join(bytes(part) for part in copy):
                        found[table] = content
        return found

    def _sequences(self) -> dict[str, int]:
        used = self._connection.execute(
            "select format('%I.%I', schemaname, sequencename), last_value from pg_sequences where schemaname = 'public' and last_value is not null"
        )
        return {str(name): int(last) for name, last in used}
