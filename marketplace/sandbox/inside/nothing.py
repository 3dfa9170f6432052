"""The smallest program: shows that the sandbox stands."""

import os
from typing import Any


def run(_options: dict[str, Any], _tell: Any) -> dict[str, Any]:
    """Who and where we are."""
    return {"uid": os.getuid(), "root": sorted(os.listdir("/"))}
