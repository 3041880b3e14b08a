"""`make schemas`: writes the published schemas, unless the change breaks a reader."""

import sys

from schemas.compatibility import breaks
from schemas.publication import FOLDER, documents, publish, published


def main() -> int:
    """Write the files and return 0, or return 1 if the change would break a reader."""
    old, new = published(), documents()
    if faults := breaks(old, new):
        print("Refused, for readers would break:", *faults, sep="\n  ", file=sys.stderr)
        print("Raise schema_version in schemas/envelope.py to allow it: see schemas/compatibility.py.", file=sys.stderr)
        return 1
    publish(new)
    print(f"{FOLDER.name}/ is up to date" if old == new else f"wrote {FOLDER.name}/: commit it with the models")
    return 0


if __name__ == "__main__":
    sys.exit(main())
