"""How work goes into the sandbox and results come out: a line of JSON that names files and their sizes, then the bytes of those files.

Lines before the last one tell progress. Both ends use this file; what comes out is believed no more than any upload.
"""

import json
from collections.abc import Mapping
from typing import Any, BinaryIO

LONGEST_LINE = 4 << 20


def pack(head: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """One message with its files."""
    line = json.dumps({**head, "files": [[name, len(content)] for name, content in files.items()]})
    return b"".join([line.encode(), b"\n", *files.values()])


def read(stream: BinaryIO) -> tuple[dict[str, Any], dict[str, bytes]]:
    """One message from a stream. Raises ValueError for one that is torn."""
    head = json.loads(stream.readline(LONGEST_LINE))
    files = {}
    for name, size in head.pop("files"):
        files[name] = stream.read(size)
        if len(files[name]) != size:
            raise ValueError(f"{name} is cut short")
    return head, files
