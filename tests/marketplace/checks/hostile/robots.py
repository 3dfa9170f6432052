"""Robot tasks that mean harm, and the check and rule that refuse each. The last list passes every policy and is ended by the sandbox."""

HEAD = (
    "*** Settings ***\nLibrary    OperatingSystem\nLibrary    String\n{settings}\n"
    "*** Variables ***\n${{INPUT}}    in\n${{OUTPUT}}    out\n\n*** Tasks ***\nHarm\n"
)


def task(body: str, settings: str = "") -> bytes:
    """A task with these lines."""
    return (HEAD.format(settings=settings) + "".join(f"    {line}\n" for line in body.splitlines())).encode()


POLICY = [  # name, source, rule
    ("evaluates Python", task("Evaluate    __import__('os').system('id')"), "robot_keyword"),
    ("evaluates Python in a variable", task("Log    ${{__import__('os').getcwd()}}"), "robot_inline_python"),
    ("reaches into an object", task("VAR    ${x}    text\nLog    ${x.__class__.__mro__}"), "robot_inline_python"),
    ("computes in a variable", task("VAR    ${x}    1\nLog    ${x * 10**9}"), "robot_inline_python"),
    ("reads the environment", task("Log    %{SECRET_KEY}"), "robot_inline_python"),
    ("reads the environment by keyword", task("Get Environment Variable    SECRET_KEY"), "robot_keyword"),
    ("runs a program", task("Run    cat /etc/passwd"), "robot_keyword"),
    ("runs a program spelled otherwise", task("run_and_return__RC    id"), "robot_keyword"),
    ("names the library in front", task("BuiltIn.Evaluate    1+1"), "robot_keyword"),
    ("starts a process", task("Start Process    /bin/sh", "Library    Process"), "robot_library"),
    ("imports a library of its own", task("Log    x", "Library    helper.py"), "robot_library"),
    ("imports a library later", task("Import Library    os"), "robot_keyword"),
    ("gives a library another name", task("Log    x", "Library    Collections    AS    Safe"), "robot_library"),
    ("takes another library by variable", task("Log    x", "Library    ${INPUT}"), "robot_library"),
    ("imports a resource", task("Log    x", "Resource    /etc/passwd"), "robot_import"),
    ("imports variables", task("Log    x", "Variables    evil.py"), "robot_import"),
    ("imports a language file", b"Language: sample/evil.py\n" + task("Log    x"), "robot_language"),
    ("calls a keyword by name", task("VAR    ${k}    Evaluate\nRun Keyword    ${k}    1+1"), "robot_keyword"),
    ("calls whatever a variable says", task("VAR    ${k}    Evaluate\n${k}    1+1"), "robot_keyword"),
    ("hides it in a teardown", task("[Teardown]    Run    id\nLog    x"), "robot_keyword"),
    ("hides it in the suite's setup", task("Log    x", "Suite Setup    Evaluate    1"), "robot_keyword"),
    ("hides it in a template", task("[Template]    Evaluate\n1 + 1"), "robot_keyword"),
    ("hides it behind a user keyword of every name", task("Evaluate    1") + b"\n*** Keywords ***\n${anything}\n    Log    x\n", "robot_keyword"),
    ("puts data into a condition", task("${x}=    Get File    ${INPUT}\nIF    '${x}' == 'a'    Log    x"), "robot_condition"),
    ("calls in a condition", task("VAR    ${x}    1\nIF    $x.upper()    Log    x"), "robot_condition"),
    ("loops on Python", task("WHILE    __import__('os').system('id')\n    Log    x\nEND"), "robot_condition"),
    ("formats objects", task("Format String    {x.__class__}    x=1"), "robot_keyword"),
    ("reads beyond its folder", task("Get File    /etc/passwd"), "robot_path"),
    ("climbs out of its folder", task("Get File    ${OUTPUT}/../../etc/passwd"), "robot_path"),
    ("removes files", task("Remove File    ${INPUT}"), "robot_keyword"),
]  # fmt: skip
LOOP = "FOR    ${n}    IN RANGE    100000000\n    No Operation\nEND"
RUNS = [  # name, source, rule of the check `replay`: nothing in these is forbidden, they just take too much
    ("never ends", task("WHILE    True    limit=NONE\n    No Operation\nEND"), "replay_time"),
    ("sleeps", task("Sleep    1h"), "replay_time"),
    ("counts for ever", task(LOOP), "replay_memory"),
    ("doubles a text for ever", task(
        "VAR    ${x}    aaaaaaaaaaaaaaaa\nFOR    ${n}    IN RANGE    40\n    ${x}=    Catenate    SEPARATOR=    ${x}    ${x}\nEND"), "replay_memory"),
    ("writes gigabytes", task(
        "VAR    ${x}    0123456789abcdef\nFOR    ${n}    IN RANGE    16\n    ${x}=    Catenate    SEPARATOR=    ${x}    ${x}\nEND\n"
        "FOR    ${n}    IN RANGE    100000\n    Append To File    ${OUTPUT}/big.txt    ${x}\nEND"), "replay_output"),
    ("makes files without end", task("FOR    ${n}    IN RANGE    100000\n    Create File    ${OUTPUT}/${n}.txt    x\nEND"), "replay_crashed"),
    ("backtracks for ever", task("Should Match Regexp    aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!    ^(a+)+$"), "replay_time"),
]  # fmt: skip
