"""What this machine offers to a sandbox, and whether there can be one at all."""

import os
import platform
import shutil
import sys
import sysconfig
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

TOOLS = ("bwrap", "prlimit")
FIRST_UID, UIDS = 61_000, 4_000  # real ids for runs as root: they own nothing and nobody logs in with them
HERE = Path(__file__).resolve().parent
ROOM = HERE.parent
CODE = {  # what runs inside, and nothing else of ours
    "marketplace/__init__.py": ROOM / "__init__.py",
    "marketplace/sandbox/mapping.py": HERE / "mapping.py",
    "marketplace/sandbox/__init__.py": HERE / "__init__.py",
    "marketplace/sandbox/inside": HERE / "inside",
}


def is_root() -> bool:
    """As root the sandbox gives up a real user id; otherwise a user namespace stands in for it."""
    return os.geteuid() == 0


@cache
def tool(name: str) -> str | None:
    """The absolute path of one of the programs we need."""
    return shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin")


def missing() -> str | None:
    """The first reason why there is no sandbox here, before one is tried; `None` where all is there."""
    if platform.system() != "Linux":
        return "the sandbox needs Linux"
    for name in (*TOOLS, "setpriv") if is_root() else TOOLS:
        if tool(name) is None:
            return f"the program {name} is not installed" + (" (Debian: apt-get install bubblewrap)" if name == "bwrap" else "")
    return None


@cache
def interpreter() -> tuple[Path, tuple[Path, ...]]:
    """The real Python program, and the read-only places that it needs: its own files, the loader and the system's libraries."""
    python = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
    base = Path(sys.base_prefix).resolve()
    wanted = [Path(sysconfig.get_paths(vars={"base": str(base), "installed_base": str(base)})["stdlib"]), python]
    if base not in (Path("/usr"), Path("/usr/local"), Path("/")):
        wanted = [base]
    triplet = sysconfig.get_config_var("MULTIARCH") or ""
    libraries = [Path("/usr/lib", triplet)] if triplet and Path("/usr/lib", triplet).is_dir() else [Path("/usr/lib")]
    if base == Path("/usr/local"):
        libraries += [*base.glob("lib/libpython*")]
    libraries += [path for path in (Path("/usr/lib64"), Path("/lib64"), Path("/lib")) if path.is_dir() and not path.is_symlink()]
    return python, tuple(dict.fromkeys([*libraries, *wanted]))


@cache
def links() -> tuple[tuple[str, str], ...]:
    """Top-level names that are links on this machine (`/lib` to `usr/lib`), to be made inside as well."""
    return tuple((os.readlink(path), path) for path in ("/lib", "/lib64") if Path(path).is_symlink())


@cache
def packages(*names: str) -> tuple[tuple[str, Path], ...]:
    """What a set of distributions and everything they require puts into site-packages: (name inside, path here)."""
    found: dict[str, Path] = {}
    for name in sorted(_closure(names)):
        distribution = metadata.distribution(name)
        for file in distribution.files or ():
            top = file.parts[0]
            if top in ("..", "__pycache__", "bin") or top.endswith((".pth", ".dist-info")):
                continue
            found[top] = Path(str(distribution.locate_file(top))).resolve()
    return tuple(sorted(found.items()))


def _closure(names: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name.lower() in found:
            continue
        found.add(name.lower())
        for text in metadata.requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found
