"""A system-call filter: what a template or a robot never needs and the kernel's attack surface is made of.

A classic BPF program (seccomp(2), linux/filter.h), made here because it is short: it denies by number, refuses new user namespaces and
every socket but those of one machine's own processes. Unknown processors get no filter; the other walls stand without it.
"""

import errno
import os
import platform
import struct

_LOAD, _EQUALS, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NR, _ARCH, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_CLONE_NEWUSER = 0x10000000
_AF_UNIX = 1

# name: number on x86_64, on aarch64 (asm/unistd.h)
_DENIED: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "unshare": (272, 97), "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142),
    "swapon": (167, 224), "swapoff": (168, 225), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "personality": (135, 92),
    "acct": (163, 89), "quotactl": (179, 60), "syslog": (103, 116), "vmsplice": (278, 75), "iopl": (172, None), "ioperm": (173, None),
    "modify_ldt": (154, None),
}  # fmt: skip
_MACHINES = {"x86_64": (0, 0xC000003E, 56, 435, 41), "aarch64": (1, 0xC00000B7, 220, 435, 198)}  # column, AUDIT_ARCH, clone, clone3, socket


def _one(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value)


def program(machine: str | None = None) -> bytes | None:
    """The filter's bytes for this processor; `None` for one we do not know."""
    found = _MACHINES.get(machine or platform.machine())
    if found is None:
        return None
    column, arch, clone, clone3, socket = found
    code = [_one(_LOAD, _ARCH), _one(_EQUALS, arch, 1, 0), _one(_RETURN, _KILL), _one(_LOAD, _NR)]
    if column == 0:
        code += [_one(_AT_LEAST, 0x40000000, 0, 1), _one(_RETURN, _KILL)]  # the x32 calls have numbers of their own
    for numbers in _DENIED.values():
        number = numbers[column]
        if number is not None:
            code += [_one(_EQUALS, number, 0, 1), _one(_RETURN, _ERRNO | errno.EPERM)]
    code += [_one(_EQUALS, clone3, 0, 1), _one(_RETURN, _ERRNO | errno.ENOSYS)]  # its flags can't be read; libraries fall back to clone
    code += [
        _one(_EQUALS, clone, 0, 4),
        _one(_LOAD, _FIRST_ARGUMENT),
        _one(_ANY_BIT, _CLONE_NEWUSER, 0, 1),
        _one(_RETURN, _ERRNO | errno.EPERM),
        _one(_RETURN, _ALLOW),
    ]
    code += [_one(_EQUALS, socket, 0, 4), _one(_LOAD, _FIRST_ARGUMENT), _one(_EQUALS, _AF_UNIX, 1, 0), _one(_RETURN, _ERRNO | errno.EAFNOSUPPORT)]
    return b"".join([*code, _one(_RETURN, _ALLOW), _one(_RETURN, _ALLOW)])


def descriptor() -> int | None:
    """A file that bubblewrap reads the filter from; to be closed by the caller."""
    filtered = program()
    if filtered is None:
        return None
    found = os.memfd_create("filter")
    os.write(found, filtered)
    os.lseek(found, 0, os.SEEK_SET)
    return found
