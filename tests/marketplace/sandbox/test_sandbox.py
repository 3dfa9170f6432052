"""The sandbox's walls, tried from inside by code that means harm: `Evaluate` runs any Python, and nothing here asks a policy first."""

import base64
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from core.settings import Settings
from marketplace.sandbox import box, command, host, seccomp
from marketplace.sandbox.limits import Limits

needs_sandbox = pytest.mark.skipif(box.unavailable() is not None, reason=f"no sandbox here: {box.unavailable()}")
QUICK = Limits(cpu_s=3, wall_s=6, memory_mb=400, scratch_mb=8, output_mb=4)


def attempt(python: str, limits: Limits = QUICK, **options: object) -> box.Outcome:
    """Run Python inside, as a robot task would; what it leaves in `result/` comes back."""
    code = "exec(__import__('base64').b64decode('" + base64.b64encode(textwrap.dedent(python).encode()).decode() + "').decode())"
    task = f"*** Tasks ***\nHarm\n    Evaluate    {code}\n"
    return box.run("robot_task", {"entry": "task.robot", "input": "in", "variables": {}, **options}, {"task.robot": task.encode(), "in": b""}, limits)


def found(python: str) -> str:
    """What such Python finds out and writes down."""
    outcome = attempt(textwrap.dedent(python) + "\nopen('/tmp/result/found', 'w').write(str(found))")
    assert outcome.stopped is None, outcome
    return outcome.files["found"].decode() if "found" in outcome.files else f"failed: {outcome.report['reason']}"


@needs_sandbox
def test_nobody_and_alone():
    who = found("import os; found = (os.getuid(), os.getgid(), os.getgroups(), os.getpid() < 10, os.listdir('/'))")
    uid, _gid, groups, is_alone, root = eval(who)
    assert uid not in (0, os.getuid())
    assert (groups, is_alone) == ([], True) if host.is_root() else is_alone
    assert not {"etc", "home", "var", "proc", "sys", "mnt", "run"} & set(root)


@needs_sandbox
@pytest.mark.parametrize("path", ["/etc/passwd", "/etc/shadow", "/proc/self/environ", "/proc/1/cmdline", "/var/lib", str(Path(__file__).resolve())])
def test_files_of_the_host_are_not_there(path):
    assert "No such file" in found(f"import os; found = os.listdir('{path}') if os.path.isdir('{path}') else open('{path}').read()")


@needs_sandbox
def test_secrets_of_the_environment_are_not_there(monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "very-secret")
    environment = found("import os; found = dict(os.environ)")
    assert "very-secret" not in environment
    assert set(eval(environment)) <= {*command.ENVIRONMENT, "PWD", "OLDPWD", "ROBOT_SYSLOG_FILE", "LC_CTYPE"}


@needs_sandbox
def test_open_files_of_the_server_are_not_inherited(tmp_path):
    secret = (tmp_path / "secret").open("w+")
    os.set_inheritable(secret.fileno(), True)
    inside = found("""
        import os
        found = []
        for fd in range(200):
            try: found.append((os.fstat(fd).st_dev, os.fstat(fd).st_ino))
            except OSError: pass""")
    assert eval(inside), "some are open: its own"
    assert (os.fstat(secret.fileno()).st_dev, os.fstat(secret.fileno()).st_ino) not in eval(inside)


@needs_sandbox
@pytest.mark.parametrize("where", ["/usr/lib/x", "/code/x", "/site/x", "/x", "/dev/x", "/code/marketplace/sandbox/inside/main.py"])
def test_nothing_but_its_own_folder_can_be_written(where):
    assert found(f"open('{where}', 'w'); found = 'written'").startswith("failed")


@needs_sandbox
def test_the_work_handed_in_can_not_be_changed():
    assert found("import os; found = os.write(0, b'x')") in ("1",)  # standard input is /dev/null by then
    assert "written" not in found("import os, fcntl\nfound = [fd for fd in range(3, 60) if fcntl.fcntl(fd, 1034) & 8 == 0 and os.write(fd, b'written')]")


@needs_sandbox
@pytest.mark.parametrize(
    "python",
    [
        "import socket; s = socket.socket(); s.settimeout(1); s.connect(('1.1.1.1', 53)); found = 'connected'",
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'x', ('127.0.0.1', 53)); found = 'sent'",
        "import socket; found = socket.gethostbyname('example.com')",
        "import urllib.request; found = urllib.request.urlopen('http://example.com', timeout=1).read()",
    ],
)
def test_there_is_no_network(python):
    assert found(python).startswith("failed")


@needs_sandbox
def test_there_is_no_shell_and_no_other_program():
    assert found("import subprocess; found = subprocess.run(['/bin/sh', '-c', 'echo hello'], capture_output=True).stdout").startswith("failed")
    assert found("import os; found = os.system('id')") != "0"


@needs_sandbox
def test_a_fork_bomb_ends_with_the_run():
    outcome = attempt("import os, time\nwhile True:\n  try: os.fork()\n  except OSError: time.sleep(0.1)", Limits(cpu_s=2, wall_s=2))
    assert outcome.stopped in ("time", "cpu")
    forked = found("""
        import os, time
        found = 0
        try:
            while found < 500:
                if os.fork() == 0:
                    time.sleep(1)
                    os._exit(0)
                found += 1
        except OSError: pass""")
    assert 0 < int(forked) < QUICK.processes


@needs_sandbox
def test_an_endless_loop_ends():
    began = time.monotonic()
    assert attempt("while True: pass", Limits(cpu_s=1, wall_s=10)).stopped == "cpu"
    assert attempt("import time; time.sleep(60)", Limits(wall_s=1)).stopped == "time"
    assert time.monotonic() - began < 10


@needs_sandbox
def test_memory_is_bounded():
    outcome = attempt("x = bytearray(2 << 30)")
    assert outcome.stopped == "memory" or "MemoryError" in outcome.report["reason"]


@needs_sandbox
def test_output_is_bounded():
    outcome = attempt("f = open('/tmp/result/big', 'wb')\nwhile True: f.write(bytes(1 << 20))")
    assert outcome.stopped == "output" or "No space left" in outcome.report["reason"] or "too large" in outcome.report["reason"]
    assert sum(map(len, outcome.files.values())) <= QUICK.output_mb << 20
    flood = attempt("import os\nwhile True:\n  for fd in range(3, 20):\n    try: os.write(fd, bytes(1 << 16))\n    except OSError: pass")
    assert flood.stopped in ("output", "crashed", "cpu", "time")


@needs_sandbox
def test_progress_without_end_is_output_too():
    line = '{"progress": "x", "percent": 1, "files": []}\\n'
    told = []
    flood = f"import os\nline = b'{line}' * 1000\nwhile True:\n  for fd in range(3, 20):\n    try: os.write(fd, line)\n    except OSError: pass"
    code = base64.b64encode(flood.encode()).decode()
    task = f"*** Tasks ***\nHarm\n    Evaluate    exec(__import__('base64').b64decode('{code}').decode())\n"
    options = {"entry": "task.robot", "input": "in", "variables": {}}
    files = {"task.robot": task.encode(), "in": b""}
    outcome = box.run("robot_task", options, files, QUICK, lambda words, _percent: told.append(words))
    assert outcome.stopped == "output"
    assert len(told) < 200_000


@needs_sandbox
def test_a_forged_result_is_read_as_foreign_data():
    message = '{"report": {}, "files": [["../../etc/cron.d/x", 2]]}\\nhi'
    outcome = attempt(f"import os\nfor fd in range(3, 20):\n  try: os.write(fd, b'''{message}''')\n  except OSError: pass\nos._exit(0)")
    assert outcome.stopped == "crashed"
    assert not outcome.files


@needs_sandbox
@pytest.mark.skipif(seccomp.program() is None, reason="no filter is known for this processor")
@pytest.mark.parametrize("call", ["unshare(0x10000000)", "ptrace(0, 0, 0, 0)", "syscall(321, 0, 0, 0)", "mount(0, 0, 0, 0, 0)"])
def test_system_calls_that_nobody_needs_are_refused(call):
    assert found(f"import ctypes; c = ctypes.CDLL(None, use_errno=True); found = (c.{call}, ctypes.get_errno())") == "(-1, 1)"


@needs_sandbox
def test_links_out_of_the_result_are_not_followed():
    assert "link" not in attempt("import os; os.symlink('/code/marketplace/sandbox/mapping.py', '/tmp/result/link')").files


@needs_sandbox
def test_it_stands_for_an_ordinary_user_too(tmp_path):
    """As root: the same again as a user without any rights, from a Python that this user can read."""
    if not host.is_root():
        assert box.run("nothing", {}, {}, QUICK).report["uid"] == 65534
        return
    system_python = Path("/usr/bin/python3")
    copy = Path("/var/tmp") / f"sandbox-{os.getpid()}"
    if not system_python.exists() or subprocess.run([system_python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"], check=False).returncode:
        pytest.skip("no other Python that an ordinary user can read")
    import packaging

    try:
        for name, path in {**host.CODE, "core/settings.py": host.ROOM.parent / "core/settings.py", "packaging": Path(packaging.__file__).parent}.items():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-r", path, copy / name], check=True)
        for name in ("box", "command", "host", "limits", "seccomp"):
            subprocess.run(["cp", host.HERE / f"{name}.py", copy / "marketplace/sandbox"], check=True)
        (copy / "core/__init__.py").touch()
        subprocess.run(["chmod", "-R", "a+rX", copy], check=True)
        program = "from marketplace.sandbox import box; print(box.unavailable(), box.run('nothing', {}, {}, box.Limits()).report)"
        somebody = {"user": 60_001, "group": 60_001, "extra_groups": [], "env": {}}
        done = subprocess.run([system_python, "-c", program], cwd=copy, capture_output=True, text=True, check=False, **somebody)
        assert done.stdout.startswith("None {'uid': 65534"), done.stdout + done.stderr
    finally:
        subprocess.run(["rm", "-rf", copy], check=True)


def test_without_bubblewrap_nothing_is_run(monkeypatch):
    box.forget_verdict()
    monkeypatch.setattr(host, "tool", lambda name: None)
    monkeypatch.setattr(host.tool, "cache_clear", lambda: None, raising=False)
    try:
        assert "bwrap is not installed" in box.unavailable()
        with pytest.raises(box.SandboxMissing, match="apt-get install bubblewrap"):
            box.run("nothing", {}, {}, QUICK)
    finally:
        monkeypatch.undo()
        box.forget_verdict()


def test_a_machine_that_gets_its_sandbox_later_is_believed_a_minute_later(monkeypatch):
    box.forget_verdict()
    clock = [1000.0]
    monkeypatch.setattr(box.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(host, "missing", lambda: "not yet")
    assert box.unavailable() == "not yet"
    monkeypatch.setattr(host, "missing", lambda: "now something else")
    assert box.unavailable() == "not yet"
    clock[0] += 61
    assert box.unavailable() == "now something else"
    monkeypatch.undo()
    box.forget_verdict()


def test_a_sandbox_that_can_not_be_made_says_so(monkeypatch):
    box.forget_verdict()
    monkeypatch.setattr(host, "tool", lambda name: "/bin/false" if name == "bwrap" else None if name == "none" else f"/usr/bin/{name}")
    monkeypatch.setattr(host.tool, "cache_clear", lambda: None, raising=False)
    try:
        assert "cannot make a sandbox" in box.unavailable()
        with pytest.raises(box.SandboxMissing):
            box.run("nothing", {}, {}, QUICK)
    finally:
        monkeypatch.undo()
        box.forget_verdict()


def test_limits_come_from_the_settings(settings):
    limits = Limits.of(settings)
    assert (limits.cpu_s, limits.wall_s, limits.memory_mb) == (settings.sandbox_cpu_s, settings.sandbox_wall_s, settings.sandbox_memory_mb)
    assert isinstance(settings, Settings)


def test_the_filter_is_a_whole_program():
    for machine in ("x86_64", "aarch64"):
        assert len(seccomp.program(machine)) % 8 == 0
    assert seccomp.program("sparc") is None
    assert sys.platform == "linux"
