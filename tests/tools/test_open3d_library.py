"""Machines without open3d, or without a library that it needs, are told what to install."""

import builtins
import sys

import pytest

from neufield.datasets import MissingPackageError
from neufield.tools.open3d_library import load_open3d


def test_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(MissingPackageError, match=r"Distances need the package open3d, which is not installed: pip"):
        load_open3d("Distances")


def test_a_library_of_the_system_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: object) -> object:
        if name == "open3d":
            raise ImportError("libusb-1.0.so.0: cannot open shared object file")
        return real(name, *rest)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(
        MissingPackageError, match=r"does not load \(libusb-1\.0\.so\.0: .*apt-get install libusb-1\.0-0"
    ):
        load_open3d("Distances")
