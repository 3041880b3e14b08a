"""The documents as a site, built by MkDocs as `make docs` does."""

import subprocess
import sys
from pathlib import Path


def build(root: Path, into: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of the checkout at *root*; a warning makes it fail."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(into)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
