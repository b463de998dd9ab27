import pytest

from neufield.tools.memory_size import parse_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512),
        ("1K", 1024),
        ("512MiB", 512 << 20),
        ("1.5GiB", 3 << 29),
        (" 2 gb ", 2 << 30),
        ("2G", 2 << 30),
        ("1TiB", 1 << 40),
        ("0.5", None),
        ("0", None),
        ("0.0GiB", None),
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
