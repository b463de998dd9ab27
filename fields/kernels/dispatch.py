"""Which backend runs an operation.

An operation (say `hash_grid`) has one module per backend, `<package>/<operation>_<backend>.py`, found by its name.
Such a module supplies the operation's raw functions (`forward` and `backward`, say) and
`supports(device, dtype) -> reason or None`, where a reason says in words why the backend cannot run there.
"""

import functools
import importlib
import importlib.util
import logging
import os
import time
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import torch

_PREFERENCE = {"cpu": ("numba", "reference"), "cuda": ("triton", "reference")}
_from_environment = os.environ.get("NEUFIELD_BACKEND", "")  # read once: a step makes dozens of choices
_override: ContextVar[str] = ContextVar("neufield_backend", default="auto")
_log = logging.getLogger("neufield")


_seconds: ContextVar[dict[str, float] | None] = ContextVar("neufield_kernel_seconds", default=None)


class BackendError(ValueError):
    """A backend that was asked for by name cannot run the operation."""


@contextmanager
def use_backend(backend: str) -> Generator[None]:
    """Makes every operation inside the `with` block use one backend, whatever the modules were built with."""
    token = _override.set(backend)
    try:
        yield
    finally:
        _override.reset(token)


@contextmanager
def timed_kernels() -> Generator[dict[str, float]]:
    """Inside the `with` block, the seconds in kernels add up in the dictionary it gives: by operation and function.

    Only kernels that are selected inside count. For the CPU: on other devices kernels end after their call does.
    """
    seconds: dict[str, float] = defaultdict(float)
    token = _seconds.set(seconds)
    try:
        yield seconds
    finally:
        _seconds.reset(token)


class _Timed:
    """A kernel module whose functions are timed."""

    def __init__(self, module: ModuleType, operation: str, seconds: dict[str, float]) -> None:
        self._module, self._operation, self._seconds = module, operation, seconds

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if not callable(value):
            return value

        def timed(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return value(*arguments, **options)
            finally:
                self._seconds[f"{self._operation} {name}"] += time.perf_counter() - start

        return timed


def select(operation: str, *, package: str, device: torch.device, dtype: torch.dtype, backend: str = "auto") -> Any:
    """Picks the module that runs `operation` for tensors of this device and dtype.

    The choice is made by the innermost `use_backend`, else the environment variable NEUFIELD_BACKEND as it was when the
    program started, else `backend`,
    else ("auto") by the device: the first of its preferred backends that supports the dtype.

    Raises:
        BackendError: The backend was named and does not exist for this operation, or cannot run on this device or
            dtype.
    """
    override = _override.get()
    chosen = override if override != "auto" else _from_environment or backend
    module = _select(operation, package, device.type, dtype, chosen)
    seconds = _seconds.get()
    return module if seconds is None else _Timed(module, operation, seconds)


@functools.cache
def _select(operation: str, package: str, device: str, dtype: torch.dtype, backend: str) -> ModuleType:
    candidates = _PREFERENCE.get(device, ("reference",)) if backend == "auto" else (backend,)
    reasons: list[str] = []
    for name in candidates:
        module_name = f"{package}.{operation}_{name}"
        exists = name.isidentifier() and importlib.util.find_spec(module_name) is not None
        module = importlib.import_module(module_name) if exists else None
        if module is None or not hasattr(module, "supports"):  # `hash_grid_geometry` is no backend
            reasons.append(f"{name}: there is no such backend for {operation}")
            continue
        reason = module.supports(device, dtype)
        if reason is None:
            _log.info("%s on %s (%s): backend %s", operation, device, dtype, name)
            return module
        reasons.append(f"{name}: {reason}")
    raise BackendError(f"No backend can run {operation} on {device} with {dtype}. {'; '.join(reasons)}.")
