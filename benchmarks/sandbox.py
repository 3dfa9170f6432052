"""What the sandbox costs, and how long a typical bundle is checked.

Pairs, interleaved: the same small robot task inside the sandbox and as a plain process, by the same program.
"""

import io
import subprocess
import tempfile
import time

from benchmarks.figures import figure, tell
from marketplace.checks import pipeline
from marketplace.release import bundles
from marketplace.sandbox import box, command, host
from marketplace.sandbox.inside import frames
from marketplace.sandbox.limits import Limits

PAIRS, CHECKED, SLUG = 15, 7, "clean-phone-numbers"  # a typical bundle: a robot task with every check there is


def measure() -> None:
    """Print the sandbox's figures. Where there is no sandbox, say so and print none."""
    reason = box.unavailable()
    if reason is not None:
        tell(f"sandbox: not measured: {reason}")
        return
    folder = bundles.SHOWCASE / SLUG
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    options = {"entry": "task.robot", "input": "sample/customers.csv", "variables": {}}
    box.run("robot_task", options, files, Limits())  # both ways once, for the disk's sake
    _plain(options, files)
    ratios = []
    for number in range(PAIRS):
        first, second = (_boxed, _plain) if number % 2 else (_plain, _boxed)
        took = {first: first(options, files), second: second(options, files)}
        ratios.append(took[_boxed] / took[_plain] - 1)
        tell(f"sandbox: plain {took[_plain]:.3f} s, inside {took[_boxed]:.3f} s")
    figure("sandbox_overhead", ratios, 0.20, most=True)
    content, seconds = bundles.build(folder).content, []
    for _ in range(CHECKED):
        began = time.perf_counter()
        assert all(record.state == pipeline.PASSED for record in pipeline.Check(content, "robot_task", Limits()).run())
        seconds.append(time.perf_counter() - began)
    figure("check_pipeline_s", seconds, 5, most=True)


def _boxed(options: dict[str, object], files: dict[str, bytes]) -> float:
    began = time.perf_counter()
    assert box.run("robot_task", options, files, Limits()).passed
    return time.perf_counter() - began


def _plain(options: dict[str, object], files: dict[str, bytes]) -> float:
    """Without walls: only for files of our own."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        site = ":".join({str(path.parent) for _name, path in host.packages(*box.PACKAGES["robot_task"])})
        words = [str(host.interpreter()[0]), *command.inside(str(host.ROOM.parent), site)]
        message = frames.pack({"program": "robot_task", "options": options}, files)
        done = subprocess.run(words, cwd=folder, env=command.ENVIRONMENT, input=message, stdout=subprocess.PIPE, check=True)
    last = done.stdout.split(b"\n{")[-1]
    report, _files = frames.read(io.BytesIO(last if last.startswith(b"{") else b"{" + last))
    assert report["report"]["passed"], report
    return time.perf_counter() - began
