"""Atlases of charts: their derivatives, and that they train as so many networks of their own do."""

import pytest
import torch

from neufield.fields.chart_atlas import PUBLISHED_WIDTHS, ChartAtlas


def clouds(charts: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    uv = 2 * torch.rand(charts, n, 2, generator=generator) - 1
    return uv, torch.cat([uv, 0.4 * uv.square().sum(2, keepdim=True)], 2)


@pytest.mark.parametrize("activation", ["relu", "sine"])
@pytest.mark.parametrize(("widths", "n"), [((32, 32), 150), ((20,), 128), ((16, 48, 32), 7)])
def test_backends_make_the_same_steps(widths: tuple[int, ...], n: int, activation: str):
    uv, targets = clouds(3, n)
    weights = torch.rand(3, n, generator=torch.Generator().manual_seed(1))
    weights[1, n // 2 :] = 0.0
    atlases = [ChartAtlas(3, widths=widths, activation=activation, backend=name) for name in ("reference", "numba")]
    for steps in (1, 4):
        errors = [atlas.fit(uv, targets, weights, steps=steps) for atlas in atlases]
        torch.testing.assert_close(errors[1], errors[0], rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(atlases[1](uv), atlases[0](uv), rtol=1e-3, atol=2e-4)
    assert [atlas.steps for atlas in atlases] == [5, 5]


def test_every_chart_is_trained_as_a_network_alone_would_be():
    uv, targets = clouds(2, 60)
    atlas = ChartAtlas(2, widths=(24, 24))
    linears = [torch.nn.Linear(inputs, outputs) for inputs, outputs in atlas.geometry.shapes]
    for linear, (matrix, bias) in zip(linears, atlas.geometry.layers(atlas.parameters_by_chart.data)):
        linear.weight.data.copy_(matrix[1].T)
        linear.bias.data.copy_(bias[1, 0])
    alone = torch.nn.Sequential(linears[0], torch.nn.ReLU(), linears[1], torch.nn.ReLU(), linears[2])
    optimizer = torch.optim.Adam(alone.parameters(), lr=1e-2, betas=(0.9, 0.99))
    plane = torch.nn.functional.pad(uv[1], (0, 1))
    for _ in range(5):
        optimizer.zero_grad()
        (alone(uv[1]) + plane - targets[1]).square().sum(1).mean().backward()
        optimizer.step()
    atlas.fit(uv, targets, torch.ones(2, 60), steps=5)
    torch.testing.assert_close(atlas(uv)[1], alone(uv[1]) + plane, rtol=1e-3, atol=2e-4)


def test_a_bowl_is_learned_with_its_normals():
    uv, targets = clouds(4, 200)
    atlas = ChartAtlas(4, widths=(32, 32), activation="sine")
    atlas.fit(uv, targets, torch.ones(4, 200), steps=300)
    assert (atlas(uv) - targets).norm(dim=2).mean() < 0.02
    truth = torch.nn.functional.normalize(torch.cat([-0.8 * uv, torch.ones(4, 200, 1)], 2), dim=2)
    assert (atlas.jet(uv).normals() * truth).sum(2).mean() > 0.99


@pytest.mark.parametrize("activation", ["relu", "sine"])
def test_jets_are_the_derivatives(activation: str):
    atlas = ChartAtlas(2, widths=(12, 9), activation=activation, omega=1.5).double()
    uv = clouds(2, 5)[0].double()
    jet = atlas.jet(uv)
    torch.testing.assert_close(jet.position, atlas(uv))
    step = 1e-5
    s, t = torch.tensor([step, 0.0]).double(), torch.tensor([0.0, step]).double()
    torch.testing.assert_close((atlas(uv + s) - atlas(uv - s)) / (2 * step), jet.by_s, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close((atlas(uv + t) - atlas(uv - t)) / (2 * step), jet.by_t, rtol=1e-5, atol=1e-6)
    ahead, behind = atlas.jet(uv + t), atlas.jet(uv - t)
    torch.testing.assert_close((ahead.by_s - behind.by_s) / (2 * step), jet.by_st, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close((ahead.by_t - behind.by_t) / (2 * step), jet.by_tt, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_a_chart_stops_where_its_error_is_small_enough(backend: str):
    uv, targets = clouds(2, 100)
    atlas = ChartAtlas(2, widths=(32, 32), backend=backend)
    before = atlas.parameters_by_chart.data.clone()
    atlas.fit(uv, targets, torch.ones(2, 100), steps=5, enough=torch.tensor([100.0, 0.0]))
    changed = (atlas.parameters_by_chart.data != before).any(1)
    assert changed.tolist() == [False, True]


def test_the_published_network_has_its_size():
    assert ChartAtlas(1, widths=PUBLISHED_WIDTHS).geometry.parameters == 429_187


def test_bad_sizes_are_named():
    with pytest.raises(ValueError, match="one hidden layer or more"):
        ChartAtlas(2, widths=())
    with pytest.raises(ValueError, match="An atlas of 2 charts"):
        ChartAtlas(2).fit(torch.zeros(3, 4, 2), torch.zeros(3, 4, 3), torch.ones(3, 4), steps=1)
