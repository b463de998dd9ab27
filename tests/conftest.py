"""What all tests share: shapes and types checked at run time, and the folder of real data."""

import re
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("fields", "render", "datasets", "configs", "tools")


def checked_modules() -> list[str]:
    """Full names of all modules that beartype checks: those with numba in them are compiled and cannot be wrapped.

    The hook takes a name for itself and everything below it, so that packages cannot be listed: an `__init__` stays
    unchecked.
    """
    files = (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")) if path.stem != "__init__")
    uses_numba = re.compile(r"^\s*(import|from)\s+numba\b", re.MULTILINE)
    return [
        ".".join(("neufield", *path.relative_to(ROOT).with_suffix("").parts))
        for path in files
        if not uses_numba.search(path.read_text(encoding="utf-8"))
    ]


# Before anything of ours is imported: conftest is read first, and imports none of it.
install_import_hook(checked_modules(), "beartype.beartype")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real measurements beside the checkout; no part of the repository: tests skip without it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the folder of real data beside the checkout: {folder} is missing")
    return folder
