"""open3d where it can be loaded, and a sentence that says how to mend it where it cannot."""

import ctypes
import sys
from contextlib import suppress
from typing import Any

from ..datasets.errors import MissingPackageError


def load_open3d(purpose: str) -> Any:
    """The module open3d, which takes half a second to load: call this where it is used.

    Args:
        purpose: What needs it, as the beginning of a sentence in the plural: "Distances to a mesh".

    Raises:
        MissingPackageError: It is not installed, or a library of the system that it needs is not.
    """
    _load_libusb()
    try:
        import open3d
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"{purpose} need the package open3d, which is not installed: pip install -c constraints.txt open3d"
        ) from error
    except (ImportError, OSError) as error:
        raise MissingPackageError(
            f"{purpose} need the package open3d, which is installed but does not load ({error}); on Debian and Ubuntu: "
            "apt-get install libusb-1.0-0 libgl1 libgomp1"
        ) from error
    return open3d


def _load_libusb() -> None:
    """Loads the library for depth cameras that open3d's wheels for Linux ask for, from the package libusb-package where
    the system has none: what is loaded already is not searched for again."""
    if not sys.platform.startswith("linux"):
        return
    try:
        ctypes.CDLL("libusb-1.0.so.0", mode=ctypes.RTLD_GLOBAL)
    except OSError:
        with suppress(ImportError, OSError):  # open3d will say that it is missing
            import libusb_package

            ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
