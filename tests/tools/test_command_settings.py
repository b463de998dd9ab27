"""Where the settings of a run come from: defaults < preset < --config < command line."""

from dataclasses import replace
from pathlib import Path

import pytest

from neufield.configs.loading import ConfigError, read_preset, to_yaml
from neufield.configs.nerf_config import NerfConfig
from neufield.tools.command_settings import parse_image, parse_nerf


@pytest.fixture
def config_file(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "my.yaml"
        path.write_text(text)
        return path

    return write


def test_defaults_are_those_of_the_default_preset():
    config = parse_nerf(["photos"])
    assert config == NerfConfig(data=Path("photos"), seconds=float(read_preset("nerf", "default")["seconds"]))


@pytest.mark.parametrize("option", [["--preset", "best"], ["--preset=best"]])
def test_a_preset_wins_over_defaults(option: list[str]):
    config = parse_nerf(["photos", *option])
    wanted = read_preset("nerf", "best")
    assert (config.preset, config.seconds) == ("best", wanted["seconds"])
    assert config.field.log2_table_size == wanted["field"]["log2_table_size"]
    assert config.sampling.samples == wanted["sampling"]["samples"]
    assert config.field.levels == NerfConfig(data=Path()).field.levels


def test_a_file_wins_over_the_preset_and_the_line_over_both(config_file):
    path = config_file("seconds: 7\nfield: {log2_table_size: 15, levels: 4}\nseed: 3\n")
    config = parse_nerf(["photos", "--preset", "best", "--config", str(path), "--seed", "5", "--field.levels", "2"])
    assert (config.seconds, config.seed) == (7.0, 5)
    assert (config.field.log2_table_size, config.field.levels) == (15, 2)
    assert config.sampling.samples == read_preset("nerf", "best")["sampling"]["samples"]


def test_a_file_may_name_the_preset(config_file):
    config = parse_nerf([f"--config={config_file('preset: quick')}", "photos"])
    assert (config.preset, config.seconds) == ("quick", read_preset("nerf", "quick")["seconds"])


def test_the_config_of_a_run_repeats_it(config_file):
    first = replace(parse_nerf(["photos", "--steps", "20", "--view-dependence", "off"]), name="x", background="black")
    path = config_file("task: nerf\n" + to_yaml(first))
    assert parse_nerf(["--config", str(path)]) == first
    assert parse_nerf(["elsewhere", "--config", str(path)]) == replace(first, data=Path("elsewhere"))


@pytest.mark.parametrize(
    ("line", "end"),
    [
        ("photos --steps 9", (None, 9)),
        ("photos --steps=9", (None, 9)),
        ("photos --seconds 9", (9.0, None)),
        ("photos --preset quick --steps 9", (None, 9)),
        ("photos --config {steps} ", (None, 20)),
        ("photos --config {steps} --seconds 9", (9.0, None)),
        ("photos --config {steps} --seconds=9", (9.0, None)),
        ("photos --config {steps} --steps 9", (None, 9)),
    ],
)
def test_the_training_has_one_end(config_file, line: str, end: tuple[float | None, int | None]):
    config = parse_nerf(line.format(steps=config_file("steps: 20")).split())
    assert (config.seconds, config.steps) == end


def test_two_ends_or_none_are_refused(config_file):
    with pytest.raises(ValueError, match="Give either --seconds or --steps"):
        parse_nerf(["photos", "--seconds", "9", "--steps=9"])
    with pytest.raises(ValueError, match="give --seconds or --steps"):
        parse_nerf(["photos", "--config", str(config_file("seconds: null"))])


def test_bad_files(config_file):
    with pytest.raises(ConfigError, match=r"my.yaml do not fit. fields: there is no such setting"):
        parse_nerf(["photos", "--config", str(config_file("fields: {}"))])
    with pytest.raises(ConfigError, match="is of `neufield image`, not of `neufield nerf`"):
        parse_nerf(["photos", "--config", str(config_file("task: image"))])
    with pytest.raises(ConfigError, match="preset: Input should be"):
        parse_nerf(["photos", "--config", str(config_file("preset: ../../x"))])
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        parse_nerf(["photos", "--config", "no.yaml"])
    for line in (["photos", "--config"], ["photos", "--config="]):
        with pytest.raises(ConfigError, match="--config needs the path of a YAML file"):
            parse_nerf(line)


def test_compress_leaves_the_field_of_a_file_out(config_file):
    text = (
        "field: hash\nbits_per_pixel: 4.0\ngrid: {levels: 9}\nnetwork: {width: 32}\noptimizer: {rate: 0.01, batch: 9}\n"
    )
    path = str(config_file(text + "held_out: 0.0\nseed: 3\n"))
    for option in (["--compress", "on"], ["--compress=on"]):
        config = parse_image(["a.png", "--config", path, *option])
        assert (config.compress, config.field, config.bits_per_pixel, config.seed) == ("on", "auto", None, 3)
    assert parse_image(["a.png", "--config", path, "--compress", "on", "--bits-per-pixel", "0.4"]).bits_per_pixel == 0.4


def test_compress_refuses_what_a_file_says_beside_the_field(config_file):
    path = str(config_file("likelihood: laplace\nfield: hash\n"))
    with pytest.raises(SystemExit):
        parse_image(["a.png", "--config", path, "--compress", "on"])
