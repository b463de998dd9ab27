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
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType

import torch

_PREFERENCE = {"cpu": ("numba", "reference"), "cuda": ("triton", "reference")}
_override: ContextVar[str] = ContextVar("neufield_backend", default="auto")
_log = logging.getLogger("neufield")


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


def select(
    operation: str, *, package: str, device: torch.device, dtype: torch.dtype, backend: str = "auto"
) -> ModuleType:
    """Picks the module that runs `operation` for tensors of this device and dtype.

    The choice is made by the innermost `use_backend`, else the environment variable NEUFIELD_BACKEND, else `backend`,
    else ("auto") by the device: the first of its preferred backends that supports the dtype.

    Raises:
        BackendError: The backend was named and does not exist for this operation, or cannot run on this device or
            dtype.
    """
    override = _override.get()
    chosen = override if override != "auto" else os.environ.get("NEUFIELD_BACKEND") or backend
    return _select(operation, package, device.type, dtype, chosen)


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
