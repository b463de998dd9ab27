"""Who decides which backend runs, and what is said when it cannot."""

import logging
import os
import subprocess
import sys

import pytest
import torch

from neufield.fields import MLP, BackendError, HashGrid, use_backend
from neufield.fields.kernels import dispatch

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _no_choice_remembered_and_no_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dispatch, "_from_environment", "")
    dispatch._select.cache_clear()


def chosen(backend: str = "auto", dtype: torch.dtype = torch.float32, operation: str = "hash_grid") -> str:
    """The name of the module that is picked, without its package."""
    module = dispatch.select(operation, package="neufield.fields.kernels", device=CPU, dtype=dtype, backend=backend)
    return module.__name__.rsplit(".", 1)[1]


def test_the_cpu_prefers_numba_and_falls_back_by_dtype():
    assert chosen() == "hash_grid_numba"
    assert chosen(dtype=torch.float64) == "hash_grid_reference"


def test_the_argument_comes_before_the_device():
    assert chosen("reference") == "hash_grid_reference"


def test_the_environment_comes_before_the_argument(monkeypatch: pytest.MonkeyPatch):
    assert chosen("numba") == "hash_grid_numba"
    monkeypatch.setattr(dispatch, "_from_environment", "reference")
    assert chosen("numba") == "hash_grid_reference"


def test_the_environment_is_read_when_the_program_starts():
    line = "from neufield.fields.kernels import dispatch; print(dispatch._from_environment)"
    environment = {**os.environ, "NEUFIELD_BACKEND": "reference"}
    found = subprocess.run([sys.executable, "-c", line], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "reference"


def test_the_innermost_context_comes_before_everything(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dispatch, "_from_environment", "numba")
    with use_backend("reference"):
        assert chosen("numba") == "hash_grid_reference"
        with use_backend("numba"):
            assert chosen("reference") == "hash_grid_numba"
        assert chosen() == "hash_grid_reference"
    assert chosen("reference") == "hash_grid_numba"


def test_a_context_ends_with_an_error_too():
    with pytest.raises(KeyError), use_backend("reference"):
        raise KeyError
    assert chosen() == "hash_grid_numba"


@pytest.mark.parametrize(
    ("backend", "dtype", "message"),
    [
        ("triton", torch.float32, "triton: there is no such backend for hash_grid"),
        ("no/such", torch.float32, "no/such: there is no such backend for hash_grid"),
        ("geometry", torch.float32, "geometry: there is no such backend for hash_grid"),
        ("numba", torch.float64, "numba: it computes in float32, the tensors are torch.float64"),
        ("numba", torch.float16, "numba: it computes in float32, the tensors are torch.float16"),
    ],
)
def test_a_named_backend_that_cannot_run_says_why(backend: str, dtype: torch.dtype, message: str):
    with pytest.raises(BackendError, match=f"No backend can run hash_grid on cpu with {dtype}. {message}"):
        chosen(backend, dtype)


def test_numba_says_that_it_runs_on_the_cpu():
    from neufield.fields.kernels.numba_runtime import supports

    assert supports("cuda", torch.float32) == "it runs on the CPU, the tensors are on cuda"


def test_a_choice_is_logged_once(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, logger="neufield"):
        for _ in range(3):
            chosen()
        chosen(operation="mlp")
    assert [record.getMessage() for record in caplog.records] == [
        "hash_grid on cpu (torch.float32): backend numba",
        "mlp on cpu (torch.float32): backend numba",
    ]


@pytest.mark.parametrize("inside", ["reference", "numba"])
def test_gradients_come_from_the_backend_that_ran_forward(inside: str):
    """Also where backward is called after the context has ended."""
    outside = "numba" if inside == "reference" else "reference"
    grid = HashGrid(2, levels=2, growth=2.0, log2_table_size=6, coarsest=3)
    network = MLP(4, 2, width=16, hidden_layers=1)
    x = torch.rand(9, 2, generator=torch.Generator().manual_seed(0))
    with use_backend(inside):
        out = network(grid(x)).square().sum()
    with use_backend(outside):
        out.backward()
    assert grid.table.grad is not None
    assert network.weights.grad is not None
    assert grid.table.grad.any()
    assert network.weights.grad.any()


def test_seconds_in_kernels_are_counted_inside_the_block_alone():
    grid = HashGrid(levels=2, log2_table_size=8, finest=32.0, backend="reference")
    x = torch.rand(5, 3)
    with dispatch.timed_kernels() as seconds:
        grid(x).sum().backward()
    assert seconds.keys() == {"hash_grid forward", "hash_grid backward"}
    assert all(value > 0.0 for value in seconds.values())
    before = dict(seconds)
    grid(x)
    assert seconds == before
