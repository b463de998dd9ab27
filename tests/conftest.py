"""What all tests share: shapes and types checked at run time, and the folder of real data."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command line does; read when torch loads OpenMP

import torch
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


@pytest.fixture(scope="session")
def assert_agree() -> Callable[..., None]:
    """Holds a float32 result to the truth: by element, by direction, and in where it is exactly zero."""

    def check(found: torch.Tensor, truth: torch.Tensor, *, relative: float = 1e-4, zeros: bool = True) -> None:
        assert found.shape == truth.shape
        if not truth.numel():
            return
        found, truth = found.detach().double(), truth.detach().double()
        # Sums that cancel are held to the size of what was summed.
        torch.testing.assert_close(found, truth, rtol=relative, atol=1e-6 * truth.abs().max().item())
        if truth.any():
            cosine = (found / found.norm() * (truth / truth.norm())).sum()
            assert cosine.item() > 1.0 - 1e-8
        if zeros:
            assert torch.equal(found == 0, truth == 0)

    return check


@pytest.fixture
def on_one_and_two_threads() -> Iterator[Callable[..., tuple[object, object]]]:
    """Calls a function on one thread of numba's pool and on two, and returns what it gave each time."""
    import numba

    before = numba.get_num_threads()
    if numba.config.NUMBA_NUM_THREADS < 2:  # pyright: ignore[reportAttributeAccessIssue]
        pytest.skip("needs two cores: numba's pool has one thread here")

    def call(function: Callable[[], object]) -> tuple[object, object]:
        numba.set_num_threads(1)
        alone = function()
        numba.set_num_threads(2)
        return alone, function()

    yield call
    numba.set_num_threads(before)
