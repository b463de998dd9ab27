"""The install lines, the pinned versions, and that the checks at run time are on."""

import re
from pathlib import Path

import pytest
import torch
from jaxtyping import TypeCheckError

from neufield.fields import gradient, spherical_harmonics

ROOT = Path(__file__).resolve().parent.parent
USE = "pip install -c constraints.txt -e . && neufield demo"
TEST = "pip install -c constraints.txt -e '.[dev]' && pytest"


def test_readme_has_the_two_lines():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert lines.count(USE) == 1
    assert lines.count(TEST) == 1


def test_ci_installs_with_the_readmes_line():
    install, run = TEST.split(" && ")
    commands = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert f'part "install" {install}' in commands
    assert f'part "pytest" {run}' in commands


def requirement_names(lines: list[str]) -> list[str]:
    """Normalised names of requirements."""
    names = (re.match(r"[A-Za-z0-9._-]+", line.strip()) for line in lines if line.strip() and not line.startswith("#"))
    return [re.sub(r"[-_.]+", "-", name.group()).lower() for name in names if name]


def test_every_direct_dependency_is_pinned_in_sorted_order():
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = requirement_names(constraints)
    assert all("==" in line for line in constraints[1:])
    assert pinned == sorted(pinned)
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    base = re.search(r"^dependencies = \[(.*?)^\]", pyproject, re.DOTALL | re.MULTILINE)
    dev = re.search(r"^dev = \[(.*?)\]$", pyproject, re.MULTILINE)
    assert base is not None
    assert dev is not None
    declared = requirement_names(re.findall(r'"([^"]+)"', base.group(1) + dev.group(1)))
    assert {"torch", "numpy", "pytest", "ruff"} <= set(declared)
    assert set(declared) <= set(pinned)


def test_shapes_and_types_are_checked_at_run_time():
    with pytest.raises(TypeCheckError):
        spherical_harmonics(torch.ones(3, dtype=torch.int64))
    with pytest.raises(TypeCheckError):
        gradient(torch.sin, torch.ones(3))
