"""What a pixel sees lies in a seen block; what no camera looks at does not."""

import pytest
import torch

from neufield.render import Cameras, OccupancyGrid, seen_blocks

LENSES = {
    "PINHOLE": [50.0, 51.0, 32.5, 23.0],
    "OPENCV": [45.0, 45.5, 31.8, 24.2, -0.2, 0.08, 0.01, -0.008],
    "OPENCV_FISHEYE": [18.0, 18.2, 32.1, 23.9, -0.02, 0.002, -1e-4, 1e-6],
}
SIZE = (64, 48)


def make_cameras(name: str, count: int = 3) -> Cameras:
    generator = torch.Generator().manual_seed(6)
    rotation = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator)).Q
    rotation = rotation * torch.linalg.det(rotation).sign()[:, None, None]
    pose = torch.cat([rotation, 0.5 + torch.randn(count, 3, 1, generator=generator)], dim=2)
    return Cameras.from_colmap(name, LENSES[name], world_from_camera=pose, size=SIZE)  # type: ignore[arg-type]


@pytest.mark.parametrize("near", [0.0, 0.4])
@pytest.mark.parametrize("name", LENSES)
def test_every_pixel_looks_at_seen_blocks(name: str, near: float):
    cameras, extent, resolution = make_cameras(name), 4, 32
    seen = seen_blocks(cameras, extent=extent, resolution=resolution, near=near)
    generator = torch.Generator().manual_seed(0)
    count = 20_000
    indices = torch.randint(len(cameras), (count,), generator=generator)
    pixels = torch.rand(count, 2, generator=generator) * torch.tensor(SIZE)
    origins, directions = cameras.rays(pixels, indices)
    positions = origins + directions * (near + 4.0 * torch.rand(count, 1, generator=generator))
    grid = OccupancyGrid(extent=extent, smallest_step=0.01, resolution=resolution)
    grid.keep_to(seen)
    kernel = grid._kernel()
    cells = kernel.cells_of(positions, resolution, grid.cascades)
    cells = cells[cells >= 0]
    assert len(cells) > 1000
    assert ((grid.bits[cells >> 3] >> (cells & 7).to(torch.uint8)) & 1).all()


def test_what_lies_behind_or_beside_all_cameras_is_not_seen():
    pose = torch.tensor([[[1.0, 0.0, 0.0, 0.5], [0.0, 1.0, 0.0, 0.5], [0.0, 0.0, 1.0, 0.5]]])
    camera = Cameras.from_colmap("PINHOLE", [100.0, 100.0, 32.0, 24.0], world_from_camera=pose, size=SIZE)
    seen = seen_blocks(camera, extent=1, resolution=64)[0]
    assert seen[8, 8, 8:].all()  # straight ahead
    assert not seen[:, :, :6].any()  # behind
    assert not seen[:6, :, 8:10].any()  # beside a view of 35 degrees
    assert not seen_blocks(camera, extent=1, resolution=64, near=0.4)[0, 8, 8, 8:12].any()


def test_a_grid_keeps_to_what_is_seen_whatever_it_is_told():
    grid = OccupancyGrid(extent=1, smallest_step=0.01, resolution=8)
    seen = torch.zeros(1, 2, 2, 2, dtype=torch.bool)
    seen[0, 1, 0, 1] = True
    grid.keep_to(seen)
    assert grid.occupied_fraction() == 1 / 8
    grid.values.fill_(100.0)
    grid.values[0] = 1000.0
    grid.refresh_bits()
    assert grid.occupied_fraction() == 1 / 8
    assert (grid.bits[(4 * 8 + 0) : (4 * 8 + 4)] == 0b11110000).all()


def test_with_slack_more_is_seen():
    cameras = make_cameras("PINHOLE")
    exact, wide = (seen_blocks(cameras, extent=4, resolution=32, slack=slack) for slack in (0.0, 0.1))
    assert (wide | ~exact).all()
    assert wide.sum() > exact.sum()
