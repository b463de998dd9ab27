"""The field of a picture, sized to a number of parameters: what a run of `neufield image` saves and draws from."""

import bisect
import math
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...configs.image_config import FINEST, SMOOTH_FIELDS, GridConfig, ImageConfig, NetworkConfig
from ...fields import (
    MLP,
    CoordinateField,
    Finer,
    FourierFeatures,
    FrequencyEncoding,
    HashGrid,
    Identity,
    ReLUNetwork,
    Siren,
    Wire,
)
from ...fields.kernels.hash_grid_geometry import HashGridGeometry

_GRID_WIDTHS, _GRID_LAYERS = (64, 32, 16), 2
_NETWORK_SHARE = 4  # at most this part of the parameters, where the width is not given
_WIDTH, _LAYERS = 256, 3
_WIDTHS = range(16, 513, 8)
_LEVELS = range(16, 7, -1)
_PARAMETERS_PER_PIXEL = 1.0
_FEWEST, _MOST = 1 << 15, 1 << 24  # parameters that are chosen where none are asked for


class ImageModel(nn.Module):
    """A field from places in a picture to its channels and, if asked for, how far the pixels there are spread.

    Args:
        config: The run's settings, resolved.
        size: Width and height of the picture.
        channels: Of the picture.

    Attributes:
        smooth: Whether the field has second derivatives everywhere.
        pixel: A pixel's width and height in the field's coordinates.
        levels: Factor and offset of every channel, where derivatives are fitted, which say nothing of them.
    """

    stretch: Tensor
    shift: Tensor
    pixel: Tensor
    levels: Tensor

    def __init__(self, config: ImageConfig, *, size: tuple[int, int], channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.field = _field(config, channels + (config.learned_scale == "on"))
        # Grids see the picture as the unit square, so that none of their vertices lie beside it; waves are as long
        # along one axis as along the other.
        wide = torch.tensor(size, dtype=torch.float32)
        stretch = torch.ones(2) if config.field == "hash" else 2.0 * wide / wide.max()
        self.register_buffer("stretch", stretch, persistent=False)
        self.register_buffer("pixel", stretch / wide, persistent=False)
        self.register_buffer("levels", torch.tensor([[1.0], [0.0]]).repeat(1, channels), persistent=False)
        self.smooth = config.field in SMOOTH_FIELDS
        self.levelled = config.supervise != "values"
        self.register_buffer("shift", torch.zeros(2) if config.field == "hash" else -0.5 * stretch, persistent=False)

    def forward(self, places: Float[Tensor, "n 2"]) -> Float[Tensor, "n values"]:
        """The channels, and then the raw scale if it is learned, at (u, v) in the unit square, v downwards."""
        values = self.field(self.located(places))
        return values * self.levels[0] + self.levels[1] if self.levelled else values

    def located(self, places: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2"]:
        """The field's coordinates of places in the unit square."""
        return places * self.stretch + self.shift

    def level(self, facts: dict[str, Any]) -> None:
        """Takes the levels that a checkpoint says of its weights, if any."""
        if "levels" in facts:
            self.levels = torch.tensor(facts["levels"], device=self.levels.device)

    @property
    def parameters_used(self) -> int:
        """How many trained numbers the result depends on: those that pad a small network are not counted."""
        padding = 0
        if isinstance(network := self.field.network, MLP):
            padding = network.geometry.parameters - _mlp_parameters(
                network.in_features, network.out_features, network.geometry.width, network.geometry.hidden_layers
            )
        return sum(parameter.numel() for parameter in self.parameters()) - padding


def resolved_field(config: ImageConfig, *, size: tuple[int, int], channels: int) -> ImageConfig:
    """The settings with those of the field filled in that follow from the picture and the number of parameters.

    Raises:
        ValueError: The smallest field of this kind has more parameters than were asked for.
    """
    if config.field == "auto":
        config = replace(config, field="hash" if config.supervise == "values" else "siren")
    pixels, longest = size[0] * size[1], max(size)
    budget = config.parameters
    if config.bits_per_pixel is not None:
        budget = int(config.bits_per_pixel * pixels / 16.0)
    values = channels + (config.learned_scale == "on")
    config = replace(config, network=_resolved_network(config, longest))
    if config.field == "hash":
        if budget is None:
            budget = min(max(round(_PARAMETERS_PER_PIXEL * pixels), _FEWEST), _MOST)
        config = replace(config, network=_grid_network(config, budget, values))
        return replace(config, grid=_sized_grid(config, budget, longest, values))
    if config.network.width is None:
        width = _WIDTH if budget is None else _sized_width(config, budget, values)
        config = replace(config, network=replace(config.network, width=width))
    elif budget is not None and (used := _parameters(config, values)) > budget:
        raise ValueError(
            f"--field {config.field} with --network.width {config.network.width} has {used:,} parameters, {budget:,} "
            "were asked for; leave one of the two out."
        )
    return config


def _resolved_network(config: ImageConfig, longest: int) -> NetworkConfig:
    network = config.network
    layers = _GRID_LAYERS if config.field == "hash" else _LAYERS
    return replace(
        network,
        hidden_layers=network.hidden_layers or layers,
        omega=network.omega or (20.0 if config.field == "wire" else 30.0),
        octaves=network.octaves or max(1, round(math.log2(longest))),
        sigma=network.sigma or longest / 20.0,
    )


def _grid_network(config: ImageConfig, budget: int, values: int) -> NetworkConfig:
    """The network on a grid: narrower where a wide one would take much of what the grid needs."""
    network = config.network
    if network.width is not None:
        return network
    assert network.hidden_layers is not None
    inputs = _LEVELS[0] * config.grid.features
    fitting = [
        width
        for width in _GRID_WIDTHS
        if _NETWORK_SHARE * _mlp_parameters(inputs, values, width, network.hidden_layers) <= budget
    ]
    return replace(network, width=fitting[0] if fitting else _GRID_WIDTHS[-1])


def _sized_grid(config: ImageConfig, budget: int, longest: int, values: int) -> GridConfig:
    """The grid that comes closest to a number of parameters from below."""
    grid, network = config.grid, config.network
    assert network.width is not None
    assert network.hidden_layers is not None
    finest = grid.finest or float(min(max(longest, grid.coarsest), FINEST))
    levels = _LEVELS if grid.levels is None else (grid.levels,)
    sizes = range(26, 2, -1) if grid.log2_table_size is None else (grid.log2_table_size,)
    found: dict[int, GridConfig] = {}
    for count, log2_size in product(levels, sizes):
        growth = math.exp(math.log(finest / grid.coarsest) / max(count - 1, 1))
        geometry = HashGridGeometry(2, count, grid.features, log2_size, grid.coarsest, growth)
        inputs = count * grid.features
        used = geometry.parameters + _mlp_parameters(inputs, values, network.width, network.hidden_layers)
        found.setdefault(used, replace(grid, levels=count, log2_table_size=log2_size, finest=finest))
    fitting = [used for used in found if used <= budget]
    if not fitting and (len(found) > 1 or config.parameters or config.bits_per_pixel):
        raise ValueError(
            f"A hash grid of this kind has at least {min(found):,} parameters, {budget:,} were asked for; ask for "
            "more, or for a smaller --grid.coarsest."
        )
    return found[max(fitting, default=min(found))]


def _mlp_parameters(inputs: int, outputs: int, width: int, hidden_layers: int) -> int:
    return width * (inputs + outputs + width * (hidden_layers - 1))


def _parameters(config: ImageConfig, values: int) -> int:
    return sum(parameter.numel() for parameter in _field(config, values).parameters())


def _sized_width(config: ImageConfig, budget: int, values: int) -> int:
    """The width of a network that comes closest to a number of parameters from below."""

    def used(width: int) -> int:
        return _parameters(replace(config, network=replace(config.network, width=width)), values)

    fitting = bisect.bisect_right(_WIDTHS, budget, key=used)
    if fitting == 0:
        raise ValueError(
            f"--field {config.field} has at least {used(_WIDTHS[0]):,} parameters, {budget:,} were asked for; ask for "
            "more, or for fewer --network.hidden-layers."
        )
    return _WIDTHS[fitting - 1]


def _field(config: ImageConfig, values: int) -> CoordinateField:
    """The field that the settings describe."""
    network, seed, backend = config.network, config.seed, config.backend
    width, layers, omega = network.width, network.hidden_layers, network.omega
    assert width is not None
    assert layers is not None
    assert omega is not None
    if config.field == "hash":
        grid = config.grid
        assert grid.levels is not None
        assert grid.log2_table_size is not None
        encoding = HashGrid(
            2,
            levels=grid.levels,
            features=grid.features,
            log2_table_size=grid.log2_table_size,
            coarsest=grid.coarsest,
            finest=grid.finest,
            seed=seed,
            backend=backend,
        )
        small = MLP(encoding.out_features, values, width=width, hidden_layers=layers, seed=seed, backend=backend)
        return CoordinateField(encoding, small)
    if config.field == "wire":
        scale = network.gabor_scale
        return CoordinateField(
            Identity(2), Wire(2, values, width=width, hidden_layers=layers, omega=omega, s=scale, seed=seed)
        )
    if config.field in ("siren", "finer"):
        waves = Siren if config.field == "siren" else Finer
        network = waves(
            2,
            values,
            width=width,
            hidden_layers=layers,
            omega_0=omega,
            hidden_omega_0=omega,
            seed=seed,
            backend=backend,
        )
        return CoordinateField(Identity(2), network)
    encoding = _encoding(config)
    plain = ReLUNetwork(encoding.out_features, values, width=width, hidden_layers=layers, seed=seed, backend=backend)
    return CoordinateField(encoding, plain)


def _encoding(config: ImageConfig) -> Identity | FrequencyEncoding | FourierFeatures:
    """What stands in front of a plain network; coordinates go from -1 to 1 along the longer side."""
    network = config.network
    if config.field == "relu":
        return Identity(2)
    if config.field == "frequency":
        assert network.octaves is not None
        return FrequencyEncoding(2, octaves=network.octaves)
    assert network.sigma is not None
    return FourierFeatures(2, frequencies=network.frequencies, sigma=0.5 * network.sigma, seed=config.seed)
