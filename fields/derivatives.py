"""Derivatives of any field with respect to its coordinates, by autograd or by the field's own kernel.

A field is a callable from coordinates (n, d) to values (n, c) in which each value depends on its own row of
coordinates alone (no batch normalisation); a sum over rows then differentiates all of them at once. By default results
are detached. With `create_graph` they can be differentiated again, by parameters (losses on gradients) as by
coordinates. Where a field does not depend on a coordinate, or is linear in it, the derivative is zero, not an error.
The dtype is that of the coordinates: use float64 to check anything.

A field may have a method `jets(x (n, d), directions (k, n, d), *, curved)` that pushes derivatives forward with its
values: it gives (1 + k, n, c), the values and their slopes along each direction, and behind them, if `curved`, the sum
of the second derivatives along the directions; or None where it cannot. It is asked first.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Field = Callable[[Tensor], Tensor]

_MOST_AXES = 4  # with many coordinates, a backward pass for each value is cheaper than a forward one for each of them


def gradient(field: Field, x: Float[Tensor, "n d"], *, create_graph: bool = False) -> Float[Tensor, "n d"]:
    """Differentiates a field of one value per point.

        g_i = d f / d x_i

    Args:
        field: Coordinates (n, d) to values (n, 1).
        x: Where.
        create_graph: Whether the result can be differentiated again.

    Returns:
        The gradient at every point; no points give (0, d).

    Raises:
        ValueError: The field does not give (n, 1).
    """
    jets = _own_jets(field, x, _axes(x), create_graph, curved=False)
    if jets is not None and jets.shape[2] == 1:
        return jets[1:, :, 0].T
    with torch.enable_grad():
        x, values = _evaluate(field, x, create_graph)
        if values.shape[1] != 1:
            raise ValueError(f"gradient wants a field of 1 value per point, found {values.shape[1]}. Use jacobian.")
        return _finish(_slope(values[:, 0], x, create_graph), create_graph)


def jacobian(field: Field, x: Float[Tensor, "n d"], *, create_graph: bool = False) -> Float[Tensor, "n c d"]:
    """Differentiates every value of a field by every coordinate; costs c backward passes, or d forward ones.

        J_ji = d f_j / d x_i

    Args:
        field: Coordinates (n, d) to values (n, c).
        x: Where.
        create_graph: Whether the result can be differentiated again.

    Returns:
        The Jacobian at every point; no points give (0, c, d), no values (n, 0, d).

    Raises:
        ValueError: The field does not give (n, c).
    """
    jets = _own_jets(field, x, _axes(x), create_graph, curved=False)
    if jets is not None:
        return jets[1:].permute(1, 2, 0)
    with torch.enable_grad():
        x, values = _evaluate(field, x, create_graph)
        rows = [_slope(value, x, create_graph) for value in values.unbind(dim=1)]
        result = torch.stack(rows, dim=1) if rows else x.new_zeros((x.shape[0], 0, x.shape[1]))
        return _finish(result, create_graph)


def slope_along(
    field: Field, x: Float[Tensor, "n d"], directions: Float[Tensor, "n d"], *, create_graph: bool = False
) -> Float[Tensor, "n c"]:
    """Differentiates every value of a field along a direction at each point.

        s_j = sum_i (d f_j / d x_i) v_i

    Args:
        field: Coordinates (n, d) to values (n, c).
        x: Where.
        directions: Along what, of any length; the slope is proportional to it.
        create_graph: Whether the result can be differentiated again.

    Returns:
        The slopes at every point; no points give (0, c), no values (n, 0).

    Raises:
        ValueError: The field does not give (n, c).
    """
    jets = _own_jets(field, x, directions[None], create_graph, curved=False)
    if jets is not None:
        return jets[1]
    return torch.einsum("ncd,nd->nc", jacobian(field, x, create_graph=create_graph), directions)


def divergence(field: Field, x: Float[Tensor, "n d"], *, create_graph: bool = False) -> Float[Tensor, " n"]:
    """Sums the derivatives of a vector field along its own axes; costs d backward passes.

        div f = sum_i d f_i / d x_i

    Args:
        field: Coordinates (n, d) to vectors (n, d).
        x: Where.
        create_graph: Whether the result can be differentiated again.

    Returns:
        The divergence at every point; no points give (0,).

    Raises:
        ValueError: The field does not give (n, d).
    """
    jets = _own_jets(field, x, _axes(x), create_graph, curved=False)
    if jets is not None and jets.shape[1:] == x.shape:
        return torch.einsum("ini->n", jets[1:])
    with torch.enable_grad():
        x, values = _evaluate(field, x, create_graph)
        if values.shape != x.shape:
            raise ValueError(
                f"divergence wants as many values as coordinates, {tuple(x.shape)}, found {tuple(values.shape)}. "
                "Use jacobian."
            )
        terms = [_slope(value, x, create_graph)[:, i] for i, value in enumerate(values.unbind(dim=1))]
        return _finish(sum(terms, start=x.new_zeros(x.shape[0])), create_graph)


def laplacian(field: Field, x: Float[Tensor, "n d"], *, create_graph: bool = False) -> Float[Tensor, "n c"]:
    """Sums the second derivatives of every value along the axes; costs c (d + 1) backward passes.

        lap f_j = sum_i d^2 f_j / d x_i^2

    Autograd sees the inside of pieces, never the kinks between them: fields that are piecewise linear (ReLU) or
    multilinear (a hash grid) give zeros; a hash grid below a curved network does not.

    Args:
        field: Coordinates (n, d) to values (n, c), twice differentiable almost everywhere.
        x: Where.
        create_graph: Whether the result can be differentiated again.

    Returns:
        The Laplacian of every value at every point; no points give (0, c), no values (n, 0).

    Raises:
        ValueError: The field does not give (n, c).
    """
    jets = _own_jets(field, x, _axes(x), create_graph, curved=True)
    if jets is not None:
        return jets[-1]
    with torch.enable_grad():
        x, values = _evaluate(field, x, create_graph)
        sums = [
            sum(
                (_slope(slope, x, create_graph)[:, i] for i, slope in enumerate(_slope(value, x, True).unbind(dim=1))),
                start=x.new_zeros(x.shape[0]),
            )
            for value in values.unbind(dim=1)
        ]
        result = torch.stack(sums, dim=1) if sums else x.new_zeros((x.shape[0], 0))
        return _finish(result, create_graph)


def jets_of(field: Field, x: Tensor, directions: Tensor, *, curved: bool) -> Tensor | None:
    """A field's own jets; None where it has none."""
    own = getattr(field, "jets", None)
    return None if own is None else own(x, directions, curved=curved)


def _own_jets(field: Field, x: Tensor, directions: Tensor, create_graph: bool, *, curved: bool) -> Tensor | None:
    """A field's own jets; None where it has none, or where there are more coordinates than that pays for."""
    if x.shape[1] > _MOST_AXES:
        return None
    with torch.set_grad_enabled(create_graph):
        return jets_of(field, x, directions, curved=curved)


def _axes(x: Tensor) -> Tensor:
    """The directions of the axes at every point, (d, n, d)."""
    return torch.eye(x.shape[1], dtype=x.dtype, device=x.device)[:, None].expand(-1, len(x), -1)


def _evaluate(field: Field, x: Tensor, create_graph: bool) -> tuple[Tensor, Tensor]:
    """Coordinates to differentiate by, and the field's values there."""
    # What x was computed from stays attached where the result is to be differentiated again.
    if not (create_graph and x.requires_grad):
        x = x.detach().requires_grad_()
    values = field(x)
    if values.ndim != 2 or values.shape[0] != x.shape[0]:
        raise ValueError(
            f"A field must give values ({x.shape[0]}, c) at coordinates {tuple(x.shape)}, found {tuple(values.shape)}."
        )
    return x, values


def _slope(values: Tensor, x: Tensor, create_graph: bool) -> Tensor:
    """Derivative of values (n,) by x (n, d), row by row; zeros where x does not enter."""
    if not values.requires_grad:
        return torch.zeros_like(x)
    (slope,) = torch.autograd.grad(
        values.sum(), x, retain_graph=True, create_graph=create_graph, materialize_grads=True
    )
    return slope


def _finish(result: Tensor, create_graph: bool) -> Tensor:
    return result if create_graph else result.detach()
