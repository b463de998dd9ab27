from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from neufield.configs.loading import ConfigError, build, merge, read_preset, read_task_settings, read_yaml, to_yaml
from neufield.configs.nerf_config import FieldConfig, NerfConfig, OptimizerConfig, Preset, SamplingConfig


@pytest.mark.parametrize("preset", get_args(Preset))
def test_presets_fit(preset: str):
    settings = read_preset("nerf", preset)
    config = build(NerfConfig, {"data": "photos", "preset": preset, **settings}, preset)
    assert config.seconds == settings["seconds"]
    assert config.data == Path("photos")


def test_better_presets_take_longer():
    seconds = [read_preset("nerf", preset)["seconds"] for preset in ("quick", "default", "best")]
    assert seconds == sorted(set(seconds))


def test_round_trip():
    config = NerfConfig(
        data=Path("a b/c: d"),
        runs=Path("/r"),
        seconds=2.5,
        view_dependence="off",
        against=Path("runs/x"),
        field=FieldConfig(levels=4, width=32),
        optimizer=OptimizerConfig(rate=1e-3, weight_decay=1e-7),
        sampling=SamplingConfig(cone_angle=0.25),
    )
    import yaml

    text = to_yaml(config)
    assert build(NerfConfig, yaml.safe_load(text), "text") == config
    assert text.index("runs:") < text.index("data:") < text.index("field:") < text.index("levels:")


def test_merge_goes_into_groups():
    base = {"seed": 0, "field": {"levels": 8, "width": 16}}
    assert merge(base, {"field": {"levels": 4}, "name": "x"}) == {
        "seed": 0,
        "name": "x",
        "field": {"levels": 4, "width": 16},
    }
    assert base == {"seed": 0, "field": {"levels": 8, "width": 16}}
    assert merge(base, {"field": 3})["field"] == 3


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"feild": {}}, "feild: there is no such setting"),
        ({"field": {"level": 3}}, "field.level: there is no such setting"),
        ({"field": {"levels": "many"}}, "field.levels: Input should be a valid integer"),
        ({"field": {"levels": "many"}}, "found 'many'"),
        ({"field": {"width": 48}}, "field.width: Input should be 16, 32, 64 or 128, found 48"),
        ({"field": None}, "field: Input should be a dictionary"),
        ({"seed": "x", "steps": 1.5}, "steps: Input should be a valid integer"),
        (
            {"background": "blue"},
            "background: Input should be 'auto', 'white', 'black', 'none' or 'learned', found 'blue'",
        ),
        ({"steps": -1}, "--steps must be positive, got -1"),
        ({"seconds": float("nan")}, "--seconds must be positive, got nan"),
        ({"checkpoint_seconds": 0}, "--checkpoint-seconds must be positive, got 0"),
        ({"seed": -1}, "--seed takes 0 to 4294967295, got -1"),
        ({"holdout_every": 1}, "--holdout-every takes 2 or more, got 1"),
        ({"downscale": 0}, "--downscale must be positive, got 0"),
        ({"sampling": {"steps_per_unit": 0}}, "--sampling.steps-per-unit must be positive, got 0"),
        ({"sampling": {"coarse_half_life": 0}}, "--sampling.coarse-half-life must be positive, got 0"),
        ({"sampling": {"coarse_start": 0.5}}, "--sampling.coarse-start takes 1 or more, got 0.5"),
        ({"optimizer": {"huber": 0.0}}, "--optimizer.huber must be positive, got 0.0"),
        ({"optimizer": {"average": 1.0}}, "--optimizer.average takes 0 to less than 1, got 1.0"),
        ({"field": {"finest": 0}}, "--field.finest must be positive, got 0"),
        ({"field": {"finest": 8}}, "--field.finest takes 16 to 1048576, got 8"),
        ({"field": {"log2_table_size": 50}}, "--field.log2-table-size takes 3 to 26, got 50"),
        ({"optimizer": {"decay_from": 2.0}}, "--optimizer.decay-from takes 0.0 to 1.0, got 2.0"),
        ({"seconds": float("inf")}, "--seconds must be finite, got inf"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], text: str):
    with pytest.raises(ConfigError) as error:
        build(NerfConfig, {"data": "photos", **settings}, "my.yaml")
    assert text in str(error.value)
    assert str(error.value).startswith("The settings in my.yaml do not fit. ")
    assert "\n" not in str(error.value)


def test_all_faults_are_told_at_once():
    with pytest.raises(ConfigError) as error:
        build(NerfConfig, {"seed": "x", "colour": 1}, "my.yaml")
    for text in ("seed:", "colour:", "data: Field required"):
        assert text in str(error.value)


@pytest.mark.parametrize(("written", "meant"), [("on", "on"), ("off", "off"), ("'off'", "off")])
def test_a_switch_may_be_written_without_quotes(tmp_path: Path, written: str, meant: str):
    """YAML reads a bare `off` as false."""
    (tmp_path / "c.yaml").write_text(f"data: photos\nview_dependence: {written}\n")
    assert build(NerfConfig, read_yaml(tmp_path / "c.yaml"), "c.yaml").view_dependence == meant


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "c.yaml is not valid YAML: "),
        ("!!python/object/apply:os.getcwd []", "c.yaml is not valid YAML: "),
        ("- 1\n- 2\n", "c.yaml must be a mapping of settings, found list"),
        ("just words", "c.yaml must be a mapping of settings, found str"),
    ],
)
def test_files_that_hold_something_else(tmp_path: Path, text: str, message: str):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        read_yaml(tmp_path / "c.yaml")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"The configuration .*no.yaml cannot be read: No such file"):
        read_yaml(tmp_path / "no.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_yaml(tmp_path)
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        read_yaml(tmp_path / "c.yaml")


def test_an_empty_file_changes_nothing(tmp_path: Path):
    (tmp_path / "c.yaml").write_text("# nothing yet\n")
    assert read_yaml(tmp_path / "c.yaml") == {}


def test_the_key_task(tmp_path: Path):
    (tmp_path / "c.yaml").write_text("task: nerf\nseed: 3\n")
    assert read_task_settings(tmp_path / "c.yaml", "nerf") == {"seed": 3}
    with pytest.raises(ConfigError, match=r"c.yaml is of `neufield nerf`, not of `neufield image`"):
        read_task_settings(tmp_path / "c.yaml", "image")


def test_configs_are_checked_however_they_are_made():
    config = NerfConfig(data=Path("photos"), seconds=1.0)
    with pytest.raises(ValueError, match="--steps must be positive, got 0"):
        replace(config, steps=0)
    with pytest.raises(ValueError, match=r"--field.levels must be positive, got 0"):
        FieldConfig(levels=0)
