import pytest

from neufield.tools.memory_size import parse_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16777216", 16 << 20),
        ("16384K", 16 << 20),
        ("512MiB", 512 << 20),
        ("1.5GiB", 3 << 29),
        (" 2 gb ", 2 << 30),
        ("2G", 2 << 30),
        ("1TiB", 1 << 40),
        ("", None),
        ("-1G", None),
        ("2 Gigs", None),
        ("GiB", None),
        ("1e9", None),
        ("inf", None),
    ],
)
def test_sizes(text: str, size: int | None):
    if size is None:
        with pytest.raises(ValueError, match="--memory takes a size such as 512MiB or 2GiB, got "):
            parse_bytes(text)
    else:
        assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["10", "0", "0.5", " 2000000 "])
def test_a_forgotten_unit_is_named(text: str):
    with pytest.raises(ValueError, match=rf"takes 16MiB or more, got '{text}'; a number .* write {text.strip()}GiB if"):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["0.0GiB", "15MiB", "100KiB", "10B"])
def test_too_little_is_refused(text: str):
    with pytest.raises(ValueError, match=rf"--memory takes 16MiB or more, got '{text}'\."):
        parse_bytes(text)
