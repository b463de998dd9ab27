import pytest
import torch
from numba import njit

from neufield.tools.device import choose_device, compiling_told, quiet_torch_threads
from neufield.tools.progress import Progress


def test_devices_that_are_there():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "", "meta", "mps", "cuda:x", "cpu,cuda"])
def test_names_that_mean_nothing_here(name: str):
    with pytest.raises(ValueError, match=f"--device takes auto, cpu, cuda or cuda:N, got '{name}'"):
        choose_device(name)


def test_a_device_that_is_not_there():
    with pytest.raises(ValueError, match=r"--device cuda:64: torch sees \d+ CUDA devices. Use --device cpu"):
        choose_device("cuda:64")


def test_torch_has_one_thread_beside_the_kernels():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with quiet_torch_threads(torch.device("cpu")):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with pytest.raises(KeyError), quiet_torch_threads(torch.device("cpu")):
            raise KeyError
        assert torch.get_num_threads() == 2
        with quiet_torch_threads(torch.device("cuda")):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_it_is_said_once_before_kernels_are_compiled(capsys: pytest.CaptureFixture[str]):
    double, triple = njit(lambda x: 2 * x), njit(lambda x: 3 * x)
    with compiling_told(Progress()):
        assert capsys.readouterr().out == ""
        assert double(1) + triple(1) == 5
        assert capsys.readouterr().out == "Compiling kernels: about a minute, once on this machine.\n"
    with compiling_told(Progress()):
        assert double(1) == 2
    triple(1.0)
    assert capsys.readouterr().out == ""
