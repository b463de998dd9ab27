"""Meshes written to files and read back, by us and by other programs' libraries."""

from pathlib import Path

import numpy as np
import pytest
import torch

from neufield.datasets import FormatError, OutputError
from neufield.render.meshes import Mesh
from neufield.tools.mesh_files import read_mesh, write_mesh

RANDOM = torch.Generator().manual_seed(0)
FACES = torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])
CORNERS = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64) / 3.0
COLORS = torch.tensor([[1.0, 0.0, 0.2], [0.0, 1.0, 0.4], [0.0, 0.0, 1.0], [0.6, 0.6, 0.6]])
PLAIN = Mesh(CORNERS, FACES)
FULL = Mesh(
    CORNERS, FACES, normals=torch.nn.functional.normalize(torch.rand(4, 3, generator=RANDOM), dim=1), colors=COLORS
)
FAR = Mesh(CORNERS + torch.tensor([4e5, 5e6, 100.0]), FACES, colors=COLORS)


@pytest.mark.parametrize("ending", ["ply", "obj", "off", "glb", "PLY"])
@pytest.mark.parametrize("mesh", [PLAIN, FULL], ids=["plain", "full"])
def test_what_is_written_is_read_back(tmp_path: Path, ending: str, mesh: Mesh) -> None:
    path = tmp_path / "folder" / f"a.{ending}"
    write_mesh(path, mesh)
    found = read_mesh(path)
    torch.testing.assert_close(found.vertices, mesh.vertices, atol=1e-7, rtol=1e-7)
    assert torch.equal(found.faces, mesh.faces)
    assert found.is_closed()
    assert found.volume() == pytest.approx(1.0 / 6.0 / 27.0, rel=1e-6)
    if ending in ("ply", "obj", "PLY"):
        assert found.normals is not None
        expected = mesh.vertex_normals() if mesh.normals is None else mesh.normals
        torch.testing.assert_close(found.normals, expected, atol=1e-5, rtol=0.0)
    if mesh.colors is not None and ending != "off":
        assert found.colors is not None
        torch.testing.assert_close(found.colors, mesh.colors, atol=0.003, rtol=0.0)
    else:
        assert found.colors is None
    assert [path.name for path in path.parent.iterdir()] == [f"a.{ending}"]


@pytest.mark.parametrize("ending", ["ply", "obj", "off"])
def test_coordinates_of_national_grids_stay_precise(tmp_path: Path, ending: str) -> None:
    write_mesh(tmp_path / f"a.{ending}", FAR)
    torch.testing.assert_close(read_mesh(tmp_path / f"a.{ending}").vertices, FAR.vertices, atol=1e-5, rtol=0.0)


@pytest.mark.parametrize("ending", ["ply", "obj", "off", "glb"])
def test_other_libraries_read_the_files(tmp_path: Path, ending: str) -> None:
    import open3d
    import trimesh

    path = tmp_path / f"a.{ending}"
    write_mesh(path, FULL)
    there = trimesh.load_mesh(path, process=False)
    np.testing.assert_allclose(there.vertices, CORNERS, atol=1e-7)
    assert there.faces.tolist() == FACES.tolist()
    if ending in ("ply", "glb"):
        assert there.visual.vertex_colors[:, :3].tolist() == (COLORS * 255).round().int().tolist()
    open3d.utility.set_verbosity_level(open3d.utility.VerbosityLevel.Error)
    read = open3d.io.read_triangle_mesh(str(path))
    np.testing.assert_allclose(np.asarray(read.vertices)[np.asarray(read.triangles)], CORNERS[FACES], atol=1e-7)
    if ending in ("ply", "glb"):
        assert FULL.normals is not None
        np.testing.assert_allclose(
            np.asarray(read.vertex_normals)[np.asarray(read.triangles)], FULL.normals[FACES], atol=1e-5
        )


def test_an_empty_mesh_is_written(tmp_path: Path) -> None:
    empty = Mesh(torch.empty(0, 3, dtype=torch.float64), torch.empty(0, 3, dtype=torch.int64))
    for ending in ("ply", "obj", "off"):
        write_mesh(tmp_path / f"a.{ending}", empty)
        with pytest.raises(FormatError):
            read_mesh(tmp_path / f"a.{ending}")


def test_what_cannot_be_written_or_read(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a\.step: expected a mesh file's ending, \.ply, \.obj, \.off, \.glb"):
        write_mesh(tmp_path / "a.step", PLAIN)
    with pytest.raises(OutputError, match=r"not written, for the mesh has vertices that are NaN"):
        write_mesh(tmp_path / "a.ply", Mesh(CORNERS * torch.nan, FACES))
    assert not list(tmp_path.iterdir())
    (tmp_path / "a.xyz").write_text("1 2 3\n" * 20)
    with pytest.raises(FormatError, match="expected a mesh, found 20 points without faces"):
        read_mesh(tmp_path / "a.xyz")
    (tmp_path / "a.obj").write_text("v 1 2 nan\nf 1 1 1\n")
    with pytest.raises(FormatError, match="vertices in finite numbers"):
        read_mesh(tmp_path / "a.obj")


@pytest.mark.parametrize(("name", "faces"), [("armadillo", 99_976), ("spot", 5_856)])
def test_real_meshes(real_data: Path, tmp_path: Path, name: str, faces: int) -> None:
    mesh = read_mesh(real_data / "meshes" / f"{name}.obj")
    assert len(mesh.faces) == faces
    assert mesh.is_closed()
    assert mesh.volume() > 0.0
    write_mesh(tmp_path / "a.ply", mesh)
    assert read_mesh(tmp_path / "a.ply").volume() == pytest.approx(mesh.volume(), rel=1e-6)
