"""The command line that makes one sandbox."""

import os
from collections.abc import Iterable
from pathlib import Path

from marketplace.sandbox import host
from marketplace.sandbox.limits import MB, Limits

CODE, SITE = "/code", "/site"
ENVIRONMENT = {"PATH": "/nowhere", "HOME": "/tmp", "LANG": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0"}  # noqa: S108


def argv(limits: Limits, packages: Iterable[tuple[str, Path]], seccomp_fd: int | None) -> list[str]:
    """Limits, then the sandbox, then (as root) the change of user, then the limit on processes, then Python."""
    python, places = host.interpreter()
    bwrap, prlimit = host.tool("bwrap"), host.tool("prlimit")
    assert bwrap is not None
    assert prlimit is not None
    tools = [prlimit, *([str(host.tool("setpriv"))] if host.is_root() else [])]
    binds = [(str(path), str(path)) for path in (*places, *map(Path, tools))]
    binds += [(str(path), f"{CODE}/{name}") for name, path in host.CODE.items()]
    binds += [(str(path), f"{SITE}/{name}") for name, path in packages]
    words = [*_limits(prlimit, limits), bwrap, *_walls(), *_folders(binds)]
    for source, target in binds:
        words += ["--ro-bind", source, target]
    for target, link in host.links():
        words += ["--symlink", target, link]
    words += ["--dev", "/dev", "--size", str(limits.scratch_mb * MB), "--perms", "1777", "--tmpfs", "/tmp", "--remount-ro", "/", "--chdir", "/tmp"]  # noqa: S108
    if seccomp_fd is not None:
        words += ["--seccomp", str(seccomp_fd)]
    return [*words, "--", *_user(), prlimit, f"--nproc={_processes(limits)}", "--", str(python), *inside(CODE, SITE)]


def inside(code: str, site: str) -> list[str]:
    """How Python is started: isolated from environment and user, without site-packages."""
    return ["-I", "-S", "-X", "utf8", f"{code}/marketplace/sandbox/inside/main.py", code, site]


def _limits(prlimit: str, limits: Limits) -> list[str]:
    """CPU seconds (a warning, then the end), address space, the size of one file, open files, no core file. Inherited by all that follows."""
    size = limits.scratch_mb * MB
    return [
        prlimit,
        f"--cpu={limits.cpu_s}:{limits.cpu_s + 1}",
        f"--as={limits.memory_mb * MB}",
        f"--fsize={size}",
        f"--nofile={limits.open_files}",
        "--core=0",
    ]


def _walls() -> list[str]:
    words = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try", "--die-with-parent", "--new-session", "--clearenv"]
    if host.is_root():  # keeps just what it takes to become somebody else
        words += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        words += ["--unshare-user", "--disable-userns", "--uid", "65534", "--gid", "65534"]
    for name, value in ENVIRONMENT.items():
        words += ["--setenv", name, value]
    return words


def _folders(binds: Iterable[tuple[str, str]]) -> list[str]:
    """The folders above each place, open to any user: bubblewrap by itself makes them for its owner only."""
    above = {str(parent) for _source, target in binds for parent in Path(target).parents if str(parent) != "/"}
    words = []
    for folder in sorted(above):
        words += ["--perms", "0755", "--dir", folder]
    return words


def _user() -> list[str]:
    """As root: a real user id of this process's own, so that two sandboxes of two workers are strangers to each other as well."""
    if not host.is_root():
        return []
    uid = str(host.FIRST_UID + os.getpid() % host.UIDS)
    return [str(host.tool("setpriv")), "--reuid", uid, "--regid", uid, "--clear-groups", "--inh-caps=-all", "--"]


def _processes(limits: Limits) -> int:
    """Processes are counted by user: since Linux 5.14 within the sandbox's own user namespace, before over all that the user runs."""
    if host.is_root() or _kernel() >= (5, 14):
        return limits.processes
    return limits.processes + _own_threads()


def _kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in os.uname().release.split("-", 1)[0].split(".")[:2])


def _own_threads() -> int:
    mine = os.geteuid()
    return sum(len(os.listdir(folder / "task")) for folder in Path("/proc").iterdir() if folder.name.isdigit() and folder.stat().st_uid == mine)
