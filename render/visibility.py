"""Which parts of the scene's box a set of cameras sees at all: elsewhere nothing can be learned, and anything may hang.

Conservative: a block counts as seen if the sphere around it may reach into a picture.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .cameras import Cameras
from .occupancy import BLOCK

_BORDER_RAYS = 33  # on each side of a picture


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
    pose = cameras.world_from_camera[index]
    x, y, z = ((centers - pose[:, 3]) @ pose[:, :3]).unbind(1)
    distance = (x * x + y * y + z * z).sqrt()
    border = _border(cameras, index) @ pose[:, :3]
    if bool(cameras.fisheye[index]):
        widest = torch.acos(border[:, 2].min().clamp(-1.0, 1.0))
        half = torch.asin((radius / distance).clamp(max=1.0))  # of the angle at which the sphere is seen
        inside = (torch.atan2((x * x + y * y).sqrt(), z) <= widest + half) | (distance <= radius)
    else:
        inside = z > -radius
        for across, edge in ((x, border[:, 0] / border[:, 2]), (y, border[:, 1] / border[:, 2])):
            for sign, slope in ((1.0, edge.max()), (-1.0, edge.min())):
                # Signed distance to the plane through the camera's position and this side of the picture.
                inside &= sign * (across - slope * z) <= radius * (1.0 + slope * slope).sqrt()
    return inside & (distance + radius > near)


def _border(cameras: Cameras, index: int) -> Float[Tensor, "rays 3"]:
    """Unit directions, in the world, of rays all around the picture."""
    width, height = cameras.sizes[index].to(cameras.focal.dtype)
    ticks = torch.linspace(0.0, 1.0, _BORDER_RAYS, dtype=cameras.focal.dtype, device=cameras.focal.device)
    zero, one = torch.zeros_like(ticks), torch.ones_like(ticks)
    sides = (torch.stack(side, dim=1) for side in ((ticks, zero), (ticks, one), (zero, ticks), (one, ticks)))
    pixels = torch.cat([side * torch.stack([width, height]) for side in sides])
    return cameras.rays(pixels, torch.full((len(pixels),), index, device=pixels.device))[1]
