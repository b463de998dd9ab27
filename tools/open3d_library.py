"""open3d where it can be loaded, and a sentence that says how to mend it where it cannot."""

from typing import Any

from ..datasets.errors import MissingPackageError


def load_open3d(purpose: str) -> Any:
    """The module open3d, which takes half a second to load: call this where it is used.

    Args:
        purpose: What needs it, as the beginning of a sentence in the plural: "Distances to a mesh".

    Raises:
        MissingPackageError: It is not installed, or a library of the system that it needs is not.
    """
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
