"""How many numbers a module takes and gives: read from it and checked, so that what does not fit together says so."""

from torch import Tensor, nn


def features_of(module: nn.Module, role: str) -> tuple[int, int]:
    """Reads `in_features` and `out_features` of a module.

    Args:
        module: Any torch module; `nn.Linear`, every encoding and every network of this package have both attributes.
        role: What the module is to the caller, for the message: "encoding", "network".

    Returns:
        The sizes of the last axis that the module takes and gives.

    Raises:
        ValueError: An attribute is missing or is not a whole number >= 0.
    """
    sizes = [getattr(module, name, None) for name in ("in_features", "out_features")]
    for name, size in zip(("in_features", "out_features"), sizes, strict=True):
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise ValueError(
                f"The {role} must say how many numbers it takes and gives: {type(module).__name__}.{name} should be "
                f"a whole number >= 0, found {size!r}. Set the attribute on the module, say `module.{name} = 3`."
            )
    return sizes[0], sizes[1]  # pyright: ignore[reportReturnType]


def check_features(x: Tensor, in_features: int, owner: nn.Module) -> None:
    """Makes sure that the last axis of x is what `owner` takes.

    Raises:
        ValueError: x has no axis, or its last axis has another size.
    """
    if x.ndim == 0 or x.shape[-1] != in_features:
        raise ValueError(
            f"{type(owner).__name__} takes tensors of shape (..., {in_features}), found {tuple(x.shape)}. "
            "Coordinates belong into the last axis."
        )
