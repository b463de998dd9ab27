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
    cameras: Cameras, *, extent: int, resolution: int, near: float = 0.0, slack: float = 0.0
) -> Bool[Tensor, "cascades blocks blocks blocks"]:
    """The blocks of an occupancy grid that at least one camera sees.

    Args:
        cameras: Scene coordinates.
        extent, resolution: The grid's, see `OccupancyGrid`; the resolution is a multiple of 4.
        near: What lies closer to a camera than this is not seen by it.
        slack: By what angle in radians cameras may come to look aside of where they look now.

    Returns:
        For every nested grid its blocks of 4 x 4 x 4 cells, along x, y and z.
    """
    blocks, cascades = resolution // BLOCK, extent.bit_length()
    device, dtype = cameras.focal.device, cameras.focal.dtype
    ticks = (torch.arange(blocks, device=device, dtype=dtype) + 0.5) / blocks - 0.5
    unit = torch.cartesian_prod(ticks, ticks, ticks)
    seen = torch.zeros(cascades, len(unit), dtype=torch.bool, device=device)
    for index in range(len(cameras)):
        camera = cameras[index]
        border = _border(camera)
        for cascade in range(cascades):
            side = 2.0**cascade
            waiting = (~seen[cascade]).nonzero()[:, 0]
            if len(waiting):
                radius = 0.5 * math.sqrt(3.0) * side / blocks
                seen[cascade, waiting] = _may_see(camera, border, 0.5 + side * unit[waiting], radius, near, slack)
    return seen.view(cascades, blocks, blocks, blocks)


def _may_see(
    camera: Cameras, border: Tensor, centers: Float[Tensor, "n 3"], least: float, near: float, slack: float
) -> Tensor:
    """Whether spheres of at least this radius may reach into a camera's picture."""
    pose = camera.world_from_camera[0]
    x, y, z = ((centers - pose[:, 3]) @ pose[:, :3]).unbind(1)
    distance = (x * x + y * y + z * z).sqrt()
    radius = least + slack * distance
    border = border @ pose[:, :3]
    if bool(camera.fisheye[0]):
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


def _border(camera: Cameras) -> Float[Tensor, "rays 3"]:
    """Unit directions, in the world, of rays all around the picture."""
    width, height = camera.sizes[0].to(camera.focal.dtype)
    ticks = torch.linspace(0.0, 1.0, _BORDER_RAYS, dtype=camera.focal.dtype, device=camera.focal.device)
    zero, one = torch.zeros_like(ticks), torch.ones_like(ticks)
    sides = (torch.stack(side, dim=1) for side in ((ticks, zero), (ticks, one), (zero, ticks), (one, ticks)))
    pixels = torch.cat([side * torch.stack([width, height]) for side in sides])
    return camera.rays(pixels, torch.zeros(len(pixels), dtype=torch.long, device=pixels.device))[1]
