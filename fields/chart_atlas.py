"""Charts of a surface: one small network per patch from (s, t) to space, all of them computed and trained at once."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from . import kernels
from .kernels.chart_fit_reference import evaluate
from .kernels.chart_geometry import Activation, ChartGeometry
from .kernels.dispatch import select

PUBLISHED_WIDTHS = (128, 256, 512, 512)  # of the Deep Geometric Prior


class ChartJet(NamedTuple):
    """Where charts are at some points, and their derivatives by s and t there (charts, n, 3) each."""

    position: Float[Tensor, "charts n 3"]
    by_s: Float[Tensor, "charts n 3"]
    by_t: Float[Tensor, "charts n 3"]
    by_ss: Float[Tensor, "charts n 3"]
    by_st: Float[Tensor, "charts n 3"]
    by_tt: Float[Tensor, "charts n 3"]

    def normals(self) -> Float[Tensor, "charts n 3"]:
        """Unit normals by_s × by_t; zero where the derivatives are parallel."""
        return nn.functional.normalize(torch.linalg.cross(self.by_s, self.by_t), dim=2)


class ChartAtlas(nn.Module):
    """As many charts as there are patches, each a plane and what a network of its own adds to it.

        chart(s, t) = (s, t, 0) + net(s, t),    net: 2 -> widths -> 3

    The plane saves the network what a local frame already knows: at the start a chart is nearly flat. The published
    networks (Williams et al. 2019, "Deep Geometric Prior for Surface Reconstruction") are `PUBLISHED_WIDTHS` wide.

    Args:
        charts: How many.
        widths: Hidden layers' widths.
        activation: "relu", or "sine": sin(omega z), whose normals have no creases.
        omega: Frequency of the sines.
        seed: Seed of the weights.
        backend: Which kernel fits, see `kernels.dispatch`.

    Raises:
        ValueError: A size is out of range.
    """

    parameters_by_chart: nn.Parameter
    mean: Tensor
    square: Tensor

    def __init__(
        self,
        charts: int,
        *,
        widths: tuple[int, ...] = (64, 64),
        activation: Activation = "relu",
        omega: float = 1.0,
        seed: int = 0,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        if charts < 0 or not widths or min(widths) < 1 or omega <= 0:
            raise ValueError(
                f"An atlas takes charts >= 0, one hidden layer or more of width >= 1, and omega > 0; got {charts}, "
                f"{widths} and {omega}."
            )
        self.geometry = ChartGeometry(tuple(widths), activation, omega)
        self.backend = backend
        generator = torch.Generator().manual_seed(seed)
        self.parameters_by_chart = nn.Parameter(self.geometry.initial(charts, generator))
        self.register_buffer("mean", torch.zeros_like(self.parameters_by_chart.data))
        self.register_buffer("square", torch.zeros_like(self.parameters_by_chart.data))
        self.steps = 0

    def forward(self, uv: Float[Tensor, "charts n 2"]) -> Float[Tensor, "charts n 3"]:
        """Positions of every chart at its own points (s, t)."""
        return evaluate(uv, self.parameters_by_chart, self.geometry) + nn.functional.pad(uv, (0, 1))

    def jet(self, uv: Float[Tensor, "charts n 2"]) -> ChartJet:
        """Positions with first and second derivatives, carried forward through the layers.

        A ReLU network is linear between its creases: its second derivatives are zero.
        """
        geometry, bent = self.geometry, self.geometry.activation != "relu"
        h = uv
        first = [torch.eye(2, dtype=uv.dtype, device=uv.device)[k].expand_as(uv) for k in range(2)]
        pairs = (0, 0), (0, 1), (1, 1)
        second = [torch.zeros_like(uv) for _ in pairs]
        for layer, (matrix, bias) in enumerate(geometry.layers(self.parameters_by_chart)):
            h = torch.baddbmm(bias, h, matrix)
            first = [slope @ matrix for slope in first]
            if bent:
                second = [bend @ matrix for bend in second]
            if layer < len(geometry.widths):
                slope = geometry.slope(h)
                if bent:
                    bend = geometry.bend(h)
                    second = [slope * part + bend * first[i] * first[j] for part, (i, j) in zip(second, pairs)]
                first = [slope * part for part in first]
                h = geometry.activate(h)
        second = second if bent else [torch.zeros_like(h)] * 3
        plane = torch.eye(3, dtype=uv.dtype, device=uv.device)
        return ChartJet(h + nn.functional.pad(uv, (0, 1)), first[0] + plane[0], first[1] + plane[1], *second)

    @torch.no_grad()
    def fit(
        self,
        uv: Float[Tensor, "charts n 2"],
        targets: Float[Tensor, "charts n 3"],
        weights: Float[Tensor, "charts n"],
        *,
        steps: int,
        enough: Float[Tensor, " charts"] | None = None,
        rate: float = 1e-2,
        beta1: float = 0.9,
        beta2: float = 0.99,
        epsilon: float = 1e-8,
    ) -> Float[Tensor, " charts"]:
        """Moves every chart towards its targets by so many steps of Adam; the moments are kept between calls.

            min sum_i w_i |chart(s_i, t_i) - target_i|^2 / sum_i w_i

        Args:
            uv, targets, weights: Of every chart; a weight of 0 leaves a point out, so that charts have unequal numbers.
            steps: How many at most, >= 0.
            enough: A chart stops where its error is no larger: at the square of the noise, the shape has been fitted
                and the noise has not.
            rate, beta1, beta2, epsilon: Adam's.

        Returns:
            The error of every chart before its last step, or where it stopped.

        Raises:
            ValueError: The number of charts or of points differs.
        """
        charts = len(self.parameters_by_chart)
        if not (len(uv) == len(targets) == len(weights) == charts and uv.shape[1] == targets.shape[1]):
            raise ValueError(
                f"An atlas of {charts} charts needs points, targets and weights for each; got {tuple(uv.shape)}, "
                f"{tuple(targets.shape)} and {tuple(weights.shape)}."
            )
        state = self.parameters_by_chart.data, self.mean, self.square
        kernel = select(
            "chart_fit", package=kernels.__name__, device=uv.device, dtype=state[0].dtype, backend=self.backend
        )
        above = targets - nn.functional.pad(uv, (0, 1))
        options = {"rate": rate, "beta1": beta1, "beta2": beta2, "epsilon": epsilon}
        enough = uv.new_full((charts,), -1.0) if enough is None else enough
        error = kernel.fit(uv, above, weights, *state, self.geometry, enough, done=self.steps, steps=steps, **options)
        self.steps += steps
        return error
