"""`python -m benchmarks [NAME …]`: all benchmarks, or the named ones."""

import sys

from benchmarks import pages, purchase, renewals, sandbox
from core.embedded.process import adopt_orphans

ALL = {"purchase": purchase.measure, "pages": pages.measure, "renewals": renewals.measure, "sandbox": sandbox.measure}


def main() -> None:
    """Run what was asked for. Unknown names are told and end the run."""
    names = sys.argv[1:] or list(ALL)
    if unknown := set(names) - set(ALL):
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))} (there are {', '.join(ALL)})")
    adopt_orphans()
    for name in names:
        ALL[name]()


if __name__ == "__main__":
    main()
