"""Every setting of `neufield image`."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, Literal

from .run_options import Positional, RunOptions, Switch, require_between, require_positive

FieldKind = Literal["auto", "hash", "frequency", "fourier", "siren", "finer", "wire", "relu"]
Supervision = Literal["values", "gradient", "laplacian"]
Pixels = Literal["point", "area"]

FINEST = 1 << 20
"""Vertices along a side of the finest grid there may be."""

SMOOTH_FIELDS = ("siren", "finer", "wire")
"""Fields with second derivatives everywhere."""

_OF_OTHER_FIELDS = (
    *("field", "parameters", "likelihood", "learned_scale", "supervise", "insert", "pixels", "held_out"),
    *("grid", "network", "optimizer", "device", "backend", "checkpoint_seconds"),
)
"""Settings that mean nothing to --compress."""


@dataclass(frozen=True, kw_only=True)
class GridConfig:
    """The multiresolution hash grid of --field hash."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    levels: int | None = None
    """Grids of growing resolution; by default as many as the number of parameters has room for, up to 16."""
    features: Literal[1, 2, 4, 8] = 2
    """Features stored per grid vertex."""
    log2_table_size: int | None = None
    """Largest table per grid, as a power of two; by default what the number of parameters allows."""
    coarsest: int = 16
    """Vertices along the picture's longer side of the coarsest grid."""
    finest: float | None = None
    """Vertices along the longer side of the finest grid; by default as many as pixels."""

    def __post_init__(self) -> None:
        require_positive(self, "finest", group="grid.")
        require_between(self, "levels", 1, 32, group="grid.")
        require_between(self, "log2_table_size", 3, 26, group="grid.")
        require_between(self, "coarsest", 2, 1024, group="grid.")
        require_between(self, "finest", self.coarsest, FINEST, group="grid.")


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The network: a small one on top of a hash grid, else the whole field or the part behind an encoding."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    width: int | None = None
    """Neurons per hidden layer: 16, 32, 64 or 128 on a hash grid, by default 64, or less where that would be much of
    the parameters; else 8 to 512, by default what the number of parameters allows, 256 if that is not given."""
    hidden_layers: int | None = None
    """Hidden layers: by default 2 on a hash grid, else 3 and the first one besides."""
    omega: float | None = None
    """Frequency of the activations of siren, finer (both 30 by default) and wire (20)."""
    gabor_scale: float = 30.0
    """How narrow the waves of wire are."""
    octaves: int | None = None
    """Octaves of --field frequency; by default up to half a period per pixel."""
    frequencies: int = 256
    """Random frequencies of --field fourier."""
    sigma: float | None = None
    """Their standard deviation, in periods along the longer side; by default a twentieth of its pixels."""

    def __post_init__(self) -> None:
        require_positive(self, "omega", "gabor_scale", "frequencies", "sigma", group="network.")
        require_between(self, "width", 8, 512, group="network.")
        require_between(self, "hidden_layers", 1, 16, group="network.")
        require_between(self, "octaves", 1, 24, group="network.")
        require_between(self, "frequencies", 1, 4096, group="network.")


@dataclass(frozen=True, kw_only=True)
class ImageOptimizerConfig:
    """Adam and its schedule: constant, then falling exponentially to a share of itself."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    rate: float | None = None
    """Learning rate; by default what suits the field."""
    decay_from: float = 0.3
    """Share of the training after which the rate falls."""
    decay_to: float = 0.01
    """What share of the rate is left at the end."""
    batch: int | None = None
    """Pixels per step; by default 8192 with a hash grid, 4096 where a smooth field is fitted to derivatives, else
    16384."""
    average: float = 0.0
    """Decay of the running average of the weights, per step; pictures are made with the average. 0 switches it off."""

    def __post_init__(self) -> None:
        require_positive(self, "rate", "decay_to", "batch", group="optimizer.")
        require_between(self, "rate", 0.0, 10.0, group="optimizer.")
        require_between(self, "decay_from", 0.0, 1.0, group="optimizer.")
        require_between(self, "decay_to", 0.0, 1.0, group="optimizer.")
        require_between(self, "batch", 1, 1 << 22, group="optimizer.")
        if not 0.0 <= self.average < 1.0:
            raise ValueError(f"--optimizer.average takes 0 to less than 1, got {self.average}.")


@dataclass(frozen=True, kw_only=True)
class ImageConfig(RunOptions):
    """Fits a picture as a field that can be drawn at any resolution."""

    picture: Positional[Path]
    """The picture: PNG, JPEG, TIFF, WebP, EXR, HDR, ... of 8, 16 or 32 bits, grey or colour, with alpha or without."""
    field: FieldKind = "auto"
    """auto: siren for --supervise gradient or laplacian, else hash. hash: a multiresolution hash grid and a small
    network. frequency: sines and cosines along the axes (NeRF's), and fourier: in random directions, both with a ReLU
    network. siren, finer, wire: networks of waves. relu: a plain network, to see the difference."""
    supervise: Supervision = "values"
    """What of the picture the field is fitted to. values: its pixels. gradient: how they differ from their neighbours,
    which leaves a constant free. laplacian: how they differ from the mean of their neighbours, and the pixels of the
    border themselves. The field's values are mapped to the picture's by the factor and offset that fit best."""
    insert: Path | None = None
    """Another picture, blended into this one without a seam: of it the field gets the gradient, of this one the values.
    The report shows it beside a plain paste."""
    insert_mask: Path | None = None
    """What of the other picture is inserted: white in a picture of its size; by default its alpha, else all of it."""
    insert_at: tuple[int, int] = (0, 0)
    """Where its top left corner lies, in pixels from that of this picture; it may reach beyond it."""
    insert_scale: float = 1.0
    """How many times as large it is inserted."""
    parameters: int | None = None
    """Size the field to about so many trained numbers."""
    bits_per_pixel: float | None = None
    """Size it to about so many bits per pixel instead, at 16 bits for each number; with --compress, to a file of at
    most so many, 0.6 by default."""
    compress: Switch = "off"
    """on: write one small file, outputs/NAME.nfz, that `neufield render` draws on any machine to the same pixels. The
    field is then a grid of wavelets, fitted for the file's size and the error together."""
    likelihood: Literal["gaussian", "laplace"] = "gaussian"
    """How pixels are spread around the field. gaussian: squared error, its values are their means. laplace: absolute
    error, their medians, which wild pixels do not move."""
    learned_scale: Switch = "off"
    """Also learn for every pixel how wide that spread is; the loss is then the negative log-likelihood, and the report
    says how many of the pixels that were left out lie within the predicted intervals."""
    pixels: Pixels = "point"
    """What a pixel measures. point: the field at its middle. area: the mean of the field over its square."""
    held_out: float | None = None
    """Share of the pixels that are left out and scored apart; by default none, 0.02 with a learned scale."""
    grid: GridConfig = GridConfig()
    """The hash grid."""
    network: NetworkConfig = NetworkConfig()
    """The network."""
    optimizer: ImageOptimizerConfig = ImageOptimizerConfig()
    """The optimiser."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "parameters", "bits_per_pixel")
        require_between(self, "parameters", 100, 1 << 30)
        require_between(self, "held_out", 0.0, 0.9)
        if self.parameters is not None and self.bits_per_pixel is not None:
            raise ValueError("Give either --parameters or --bits-per-pixel: each says how large the field is.")
        require_between(self, "insert_scale", 0.001, 1000.0)
        _require_insertion(self)
        if self.fits_derivatives:
            _require_derivatives(self)
        if self.field == "wire" and self.backend not in ("auto", "reference"):
            raise ValueError(f"--field wire runs on the backend reference alone, got --backend {self.backend}.")
        if self.compress == "on":
            defaults = {item.name: item.default for item in fields(ImageConfig)}
            given = [name for name in _OF_OTHER_FIELDS if getattr(self, name) not in (None, 0.0, defaults[name])]
            if given:
                told = " and ".join(f"--{name.replace('_', '-')}" for name in given)
                raise ValueError(
                    f"--compress fits a field of its own on the CPU, which {told} means nothing to; leave it out."
                )
        width = self.network.width
        if self.field in ("auto", "hash") and self.supervise == "values" and width not in (None, 16, 32, 64, 128):
            raise ValueError(f"--network.width takes 16, 32, 64 or 128 on a hash grid, got {width}.")

    @property
    def fits_derivatives(self) -> bool:
        """Whether the field is fitted to more than values."""
        return self.supervise != "values" or self.insert is not None


def _require_insertion(config: ImageConfig) -> None:
    """Refuses settings of an insertion where there is none, and another supervision than its own."""
    if config.insert is not None and config.supervise != "values":
        raise ValueError("--insert has its own supervision: values beside it, a gradient in it. Leave --supervise out.")
    names = ("insert_mask", "insert_at", "insert_scale")
    given = [name for name in names if getattr(config, name) != getattr(ImageConfig, name)]
    if config.insert is None and given:
        raise ValueError(f"--{given[0].replace('_', '-')} is of no use without --insert, which names what is inserted.")


def _require_derivatives(config: ImageConfig) -> None:
    """Refuses settings that the fit of a derivative would ignore, and fields that have none."""
    told = "--insert" if config.insert is not None else f"--supervise {config.supervise}"
    for name, plain in (("learned_scale", "off"), ("pixels", "point"), ("held_out", None)):
        if getattr(config, name) not in (plain, 0.0):
            raise ValueError(f"{told} fits differences of pixels; it takes no --{name.replace('_', '-')}.")
    if config.optimizer.batch == 1:
        raise ValueError(
            f"{told} is fitted to two things in every step; --optimizer.batch 1 has room for one. Give 2 or more."
        )
    if config.supervise == "laplacian" and config.field not in ("auto", *SMOOTH_FIELDS):
        smooth = f"{', '.join(SMOOTH_FIELDS[:-1])} or {SMOOTH_FIELDS[-1]}"
        raise ValueError(
            f"{told} needs a field with second derivatives, --field {smooth}; those of {config.field} vanish."
        )
