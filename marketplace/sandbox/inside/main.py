"""The first and only program of a sandbox: reads its work, does it, writes the result.

Started as `python -I -S main.py CODE SITE`: without site-packages, environment or user directory; both paths are read-only.
"""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

PROGRAMS = {
    "robot_task": "robot_task:run", "dry_run": "robot_task:dry_run", "robot_policy": "robot_policy:run", "robot_lint": "robot_lint:run",
    "form_schema": "forms:run", "document_template": "documents:run", "document_policy": "documents:inspect", "text_template": "texts:run",
    "text_policy": "texts:inspect", "spreadsheet_template": "workbooks:run", "spreadsheet_policy": "workbooks:inspect", "data_mapping": "mappings:run",
    "usage_pack": "packs:run", "nothing": "nothing:run",
}  # fmt: skip
WORK, RESULT = Path("work"), Path("result")


def _tell_through(out: BinaryIO) -> Any:
    from marketplace.sandbox.inside import frames

    def tell(text: str, percent: int | None = None) -> None:
        out.write(frames.pack({"progress": text, "percent": percent}, {}))

    return tell


def _lay_out(files: dict[str, bytes]) -> None:
    for folder in (WORK, RESULT):
        folder.mkdir()
    for name, content in files.items():
        path = WORK / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _results() -> dict[str, bytes]:
    return {path.relative_to(RESULT).as_posix(): path.read_bytes() for path in sorted(RESULT.rglob("*")) if path.is_file() and not path.is_symlink()}


def main() -> None:
    """Read one job from standard input, run its program in `/tmp`, write progress and the result to what was standard output."""
    sys.path[:0] = sys.argv[1:3]
    from marketplace.sandbox.inside import frames

    out = os.fdopen(os.dup(1), "wb", buffering=0)
    silence = os.open("/dev/null", os.O_RDWR)
    os.dup2(silence, 1)  # what a task prints is not a message of ours
    job, files = frames.read(sys.stdin.buffer)
    os.dup2(silence, 0)
    _lay_out(files)
    module, function = PROGRAMS[job["program"]].split(":")
    try:
        report = getattr(import_module(f"marketplace.sandbox.inside.{module}"), function)(job["options"], _tell_through(out))
        message = frames.pack({"report": report}, _results())
    except MemoryError:
        message = frames.pack({"stopped": "memory"}, {})
    except OSError as error:
        if error.errno not in (27, 28):  # too large a file, no space left
            raise
        message = frames.pack({"stopped": "output"}, {})
    while message:
        message = message[out.write(message) :]


if __name__ == "__main__":
    main()
