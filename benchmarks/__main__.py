"""`python -m benchmarks [NAME …]`: all benchmarks, or the named ones. Each is a module here with a function `measure`."""

import sys
from importlib import import_module

from core.embedded.process import adopt_orphans

ALL = (
    "purchase",
    "charge_after_100k",
    "renewals",
    "search",
    "sandbox",
    "pages",
)


def main() -> None:
    """Run what was asked for. Unknown names are told and end the run."""
    names = sys.argv[1:] or ALL
    if unknown := set(names) - set(ALL):
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))} (there are {', '.join(ALL)})")
    adopt_orphans()
    for name in names:
        import_module(f"benchmarks.{name}").measure()


if __name__ == "__main__":
    main()
