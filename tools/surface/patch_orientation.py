"""Which way patches look: signs of their normals that agree where they overlap, and then outwards."""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

_DIRECTIONS = 64


def patch_signs(
    members: Int64[Tensor, " entries"],
    patches: Int64[Tensor, " entries"],
    normals: Float[Tensor, "entries 3"],
    points: Float[Tensor, "n 3"],
    given: Float[Tensor, "n 3"] | None,
) -> Float[Tensor, " patches"]:
    """+1 or -1 for each patch, to be multiplied with its normals.

    With given normals each patch follows those of its points. Without, signs are carried along the spanning tree of the
    overlaps that agree best (Hoppe et al. 1992, on patches in place of points), and each piece of the surface is turned
    so that its outermost points look outwards.

    Args:
        members, patches: Point and patch of every entry; patches are numbered from 0.
        normals: Of the patch at the point.
        points: Of the surface.
        given: Oriented normals of the points.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree

    count = int(patches.max()) + 1
    if given is not None:
        agreement = torch.zeros(count).index_add_(0, patches, (normals * given[members].float()).sum(1))
        return torch.where(agreement < 0, -1.0, 1.0)
    rows, columns = members.numpy(), patches.numpy()
    agreement = coo_matrix((count, count)).tocsr()
    for axis in range(3):
        matrix = coo_matrix((normals[:, axis].double().numpy(), (rows, columns)), (len(points), count)).tocsr()
        agreement = agreement + matrix.T @ matrix
    agreement = agreement.tocoo()
    ones = coo_matrix((np.ones(len(rows)), (rows, columns)), (len(points), count)).tocsr()
    shared = np.asarray((ones.T @ ones).tocsr()[agreement.row, agreement.col]).ravel()
    doubt = 1.001 - np.abs(agreement.data) / shared + 0.1 / shared
    tree = minimum_spanning_tree(coo_matrix((doubt, (agreement.row, agreement.col)), (count, count)).tocsr())
    pieces, piece = connected_components(tree, directed=False)
    lookup, signs = agreement.tocsr(), np.ones(count, np.float32)
    for k in range(pieces):
        order, before = breadth_first_order(tree, int(np.flatnonzero(piece == k)[0]), directed=False)
        for patch in order[1:]:
            signs[patch] = signs[before[patch]] * (-1.0 if lookup[before[patch], patch] < 0 else 1.0)
    return torch.from_numpy(signs) * _outwards(torch.from_numpy(piece).long(), signs, members, patches, normals, points)


def _outwards(
    piece: Tensor, signs: np.ndarray, members: Tensor, patches: Tensor, normals: Tensor, points: Tensor
) -> Tensor:
    """For each patch the sign that turns its piece outwards: its farthest points in many directions vote."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(_DIRECTIONS, 3, generator=generator), dim=1)
    turned = normals * torch.from_numpy(signs)[patches, None]
    of, found = piece[patches], torch.ones(len(piece))
    for k in range(int(piece.max()) + 1):
        own = (of == k).nonzero().flatten()
        far = own[(points[members[own]] @ directions.T).argmax(0)]
        if (turned[far] * directions).sum() < 0:
            found[piece == k] = -1.0
    return found
