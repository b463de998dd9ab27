"""The kernels on processors with narrower vectors than this one has: their tests, told that there are no wider ones."""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
KERNELS = ("fields/kernels", "render/kernels/test_march.py", "render/kernels/test_vector_march.py")
NARROWER = {4: {}, 8: {"avx2": True, "fma": True, "avx": True}}
RUN = """
import sys
from llvmlite import binding

binding.get_host_cpu_features = lambda: binding.FeatureMap({features})
import pytest

failed = pytest.main(["-q", "-x", "-p", "no:cacheprovider", *{tests!r}])
from neufield.fields.kernels.vector_code import LANES

sys.exit(failed or LANES != {lanes})
"""


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [4, 8])
def test_kernels_pass_their_tests_with_narrower_vectors(lanes: int):
    tests = [str(TESTS / name) for name in KERNELS]
    code = RUN.format(features=NARROWER[lanes], lanes=lanes, tests=tests)
    done = subprocess.run([sys.executable, "-c", code], cwd=TESTS.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
