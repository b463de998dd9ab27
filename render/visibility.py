"""Which parts of the scene's box a set of cameras sees at all: elsewhere nothing can be learned, and anything may hang.

Conservative: a block counts as seen if the sphere around it may reach into a picture.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .cameras import Cameras
from .occupancy import BLOCK


@torch.no_grad()
def seen_blocks(
    cameras: Cameras, *, extent: int, resolution: int, near: float = 0.0
) -> Bool[Tensor, "cascades blocks blocks blocks"]:
    """The blocks of an occupancy grid that at least one camera sees.

    Args:
        cameras: Scene coordinates.
        extent, resolution: The grid's, see `OccupancyGrid`; the resolution is a multiple of 4.
        near: What lies closer to a camera than this is not seen by it.

    Returns:
        For every nested grid its blocks of 4 x 4 x 4 cells, along x, y and z.
    """
    blocks, cascades = resolution // BLOCK, extent.bit_length()
    device, dtype = cameras.focal.device, cameras.focal.dtype
    ticks = (torch.arange(blocks, device=device, dtype=dtype) + 0.5) / blocks - 0.5
    unit = torch.cartesian_prod(ticks, ticks, ticks)
    seen = torch.zeros(cascades, len(unit), dtype=torch.bool, device=device)
    for cascade in range(cascades):
        side = 2.0**cascade
        radius = 0.5 * math.sqrt(3.0) * side / blocks
        for index in range(len(cameras)):
            waiting = (~seen[cascade]).nonzero()[:, 0]
            if len(waiting):
                centers = 0.5 + side * unit[waiting]
                seen[cascade, waiting] = _may_see(cameras, index, centers, radius, near)
    return seen.view(cascades, blocks, blocks, blocks)


def _may_see(cameras: Cameras, index: int, centers: Float[Tensor, "n 3"], radius: float, near: float) -> Tensor:
    """Whether spheres may reach into a camera's picture."""
    pixels, depth = cameras.project(centers, torch.full((len(centers),), index, device=centers.device))
    distance = (centers - cameras.world_from_camera[index, :, 3]).norm(dim=1)
    around = distance <= 2.0 * radius  # so close that the sphere's outline says nothing
    ahead = depth > -radius if not bool(cameras.fisheye[index]) else torch.ones_like(around)
    # A sphere's outline is larger off the axis, by at most the square of 1 / cosine; lenses bend it a little as well.
    slant = (distance / depth.clamp(min=0.05 * radius)).clamp(max=20.0).square()
    margin = 1.5 * cameras.focal[index].max() * radius / (distance - radius).clamp(min=0.1 * radius) * slant
    inside = ((pixels > -margin[:, None]) & (pixels < cameras.sizes[index] + margin[:, None])).all(dim=1)
    return (around | (ahead & inside)) & (distance + radius > near)
