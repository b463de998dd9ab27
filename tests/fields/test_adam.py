"""The optimiser: torch's Adam where nothing is skipped; groups; its state saved and read again."""

import copy

import pytest
import torch

from neufield.fields import Adam

on_cpu_backends = pytest.mark.parametrize("backend", ["reference", "numba"])


def make_parameters() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(5)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((30,), (4, 5), ())]


def slide(parameters: list[torch.nn.Parameter], optimizer: torch.optim.Optimizer, steps: int, first: int = 0) -> None:
    """Steps with gradients that depend on the step alone."""
    for step in range(first, first + steps):
        generator = torch.Generator().manual_seed(step)
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter.dtype)
        optimizer.step()


@on_cpu_backends
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_dense_steps_are_torch_s(backend: str, weight_decay: float):
    found, truth = make_parameters(), [torch.nn.Parameter(p.detach().double()) for p in make_parameters()]
    options = {"betas": (0.9, 0.99), "weight_decay": weight_decay}
    slide(found, Adam(found, rate=1e-2, epsilon=1e-8, backend=backend, **options), 20)
    slide(truth, torch.optim.Adam(truth, lr=1e-2, eps=1e-8, **options), 20)
    for one, other in zip(found, truth):
        torch.testing.assert_close(one.double(), other, rtol=1e-6, atol=1e-6)


@on_cpu_backends
def test_float64_parameters_step_too(backend: str):
    parameters = [torch.nn.Parameter(torch.ones(3, dtype=torch.float64))]
    optimizer = Adam(parameters, backend="auto" if backend == "numba" else backend)
    slide(parameters, optimizer, 1)
    assert (parameters[0] != 1.0).all()


def test_a_group_may_set_its_own_options():
    still, moving = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3))
    optimizer = Adam([{"params": [still], "rate": 0.0}, {"params": [moving]}], rate=0.5)
    still.grad, moving.grad = torch.ones(3), torch.ones(3)
    optimizer.step()
    assert still.tolist() == [1.0] * 3
    assert moving.tolist() == pytest.approx([0.5] * 3)


def test_parameters_without_a_gradient_are_left_alone():
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = Adam([parameter])
    optimizer.step()
    assert parameter.tolist() == [1.0] * 3
    assert not optimizer.state


@on_cpu_backends
def test_gradients_of_any_strides(backend: str):
    straight, expanded = (torch.nn.Parameter(torch.ones(4)) for _ in range(2))
    straight.grad, expanded.grad = torch.full((4,), 0.5), torch.tensor(0.5).expand(4)
    Adam([straight, expanded], backend=backend).step()
    assert torch.equal(straight, expanded)


@on_cpu_backends
def test_a_saved_state_goes_on_bit_for_bit(backend: str):
    straight, stopped = make_parameters(), make_parameters()
    slide(straight, Adam(straight, sparse=True, backend=backend), 5)
    before = Adam(stopped, sparse=True, backend=backend)
    slide(stopped, before, 3)
    after = Adam(stopped, sparse=True, backend=backend)
    after.load_state_dict(copy.deepcopy(before.state_dict()))
    slide(stopped, after, 2, first=3)
    for one, other in zip(straight, stopped):
        assert torch.equal(one, other)
    assert all(state["count"].dtype == torch.int16 for state in after.state.values())


@pytest.mark.parametrize("options", [{"rate": -1.0}, {"epsilon": 0.0}, {"betas": (0.9, 1.0)}, {"rate": float("nan")}])
def test_impossible_options_are_refused(options: dict[str, float]):
    with pytest.raises(ValueError, match=r"rate >= 0, epsilon > 0 and betas in \[0, 1\); got"):
        Adam([torch.nn.Parameter(torch.ones(1))], **options)


def test_a_closure_is_refused():
    with pytest.raises(ValueError, match="takes no closure"):
        Adam([torch.nn.Parameter(torch.ones(1))]).step(lambda: 0.0)


def test_a_parameter_with_gaps_in_memory_is_refused():
    parameter = torch.nn.Parameter(torch.zeros(8)[::2])
    parameter.grad = torch.ones(4)
    with pytest.raises(ValueError, match=r"contiguous parameters, got strides \(2,\)"):
        Adam([parameter]).step()
