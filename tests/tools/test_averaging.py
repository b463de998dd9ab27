import pytest
import torch

from neufield.tools.averaging import WeightAverage


@pytest.fixture
def module() -> torch.nn.Module:
    module = torch.nn.Linear(3, 2)
    module.register_buffer("counts", torch.zeros(4, dtype=torch.int64))
    torch.nn.init.zeros_(module.weight)
    torch.nn.init.zeros_(module.bias)
    return module


def set_weights(module: torch.nn.Module, value: float) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(value)


def test_formula(module: torch.nn.Module):
    """After n updates towards 1 an average that began at 0 is 1 - decay^(8 n); weights in between do not count."""
    average = WeightAverage(module, 0.9)
    assert average.tensors.keys() == {"weight", "bias"}
    for step in range(24):
        set_weights(module, 1.0 if step % 8 == 0 else 99.0)
        average.update(step)
    for tensor in average.tensors.values():
        torch.testing.assert_close(tensor, torch.full_like(tensor, 1.0 - 0.9**24))


def test_applied_swaps_and_swaps_back(module: torch.nn.Module):
    average = WeightAverage(module, 0.5)
    set_weights(module, 3.0)
    weight = module.weight
    with average.applied():
        assert module.weight is weight
        assert torch.equal(module.weight, torch.zeros(2, 3))
    assert torch.equal(module.weight, torch.full((2, 3), 3.0))
    assert torch.equal(average.tensors["weight"], torch.zeros(2, 3))


def test_applied_swaps_back_after_an_exception(module: torch.nn.Module):
    average = WeightAverage(module, 0.5)
    set_weights(module, 3.0)
    with pytest.raises(KeyError), average.applied():
        raise KeyError
    assert torch.equal(module.bias, torch.full((2,), 3.0))
    average.update(0)
    torch.testing.assert_close(average.tensors["bias"], torch.full((2,), 3.0 * (1.0 - 0.5**8)))


def test_switched_off(module: torch.nn.Module):
    average = WeightAverage(module, 0.0)
    set_weights(module, 3.0)
    average.update(0)
    assert average.tensors == {}
    with average.applied():
        assert torch.equal(module.bias, torch.full((2,), 3.0))
