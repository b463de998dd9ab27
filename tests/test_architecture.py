"""The rules of the house, read from the sources with `ast`; each rule is also tried on a made-up tree that breaks it.

A rule is a generator `rule(root) -> complaints`, where root holds the five folders; it is kept if there are none.
"""

import ast
import fnmatch
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("fields", "render", "datasets", "configs", "tools")  # each may import those before it
RENDER_MAY_TAKE = tuple(f"neufield.fields.kernels.{name}" for name in ("dispatch", "numba_runtime", "vector_code"))
HOMELESS = {"utils", "util", "helpers", "helper", "common", "misc"}
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
HEAVY = {"imageio", "torchmetrics", "open3d", "skimage", "trimesh", "viser", "pycolmap", "xatlas", "tensorboard"}
LIGHT_FILES = ("configs/*", "tools/cli.py")  # what `neufield --help` imports


def sources(root: Path) -> Iterator[tuple[Path, ast.Module]]:
    """Paths below root and syntax trees of everything that is installed."""
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            yield path.relative_to(root), ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported_names(path: Path, node: ast.AST) -> list[str]:
    """Full dotted names that an import statement reaches; relative ones are resolved as inside `neufield`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    package = ["neufield", *path.parts[:-1]]
    anchor = package[: len(package) - node.level + 1] if node.level else []
    base = ".".join([*anchor, *([node.module] if node.module else [])])
    return [f"{base}.{alias.name}" for alias in node.names]


def all_imports(path: Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full name of every import in a file, wherever it stands, and of those by constant strings."""
    for node in ast.walk(tree):
        for name in imported_names(path, node):
            yield node.lineno, name
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if function in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def wrong_arrows(root: Path) -> Iterator[str]:
    """Imports against the arrows fields <- render <- datasets <- configs <- tools, or not by the installed name."""
    for path, tree in sources(root):
        own = path.parts[0]
        for line, name in all_imports(path, tree):
            top, *rest = name.split(".")
            if top in FOLDERS or top == "tests":
                yield f"{path}:{line}: imports {name} by the folder's name; import relatively"
            if top != "neufield" or not rest or rest[0] == own:
                continue
            target = rest[0]
            allowed = target in FOLDERS and FOLDERS.index(target) < FOLDERS.index(own)
            if own == "render" and target == "fields":
                allowed = any(f"{name}.".startswith(f"{module}.") for module in RENDER_MAY_TAKE)
            if not allowed:
                yield f"{path}:{line}: {own} must not import {name}"


def absolute_imports(root: Path) -> Iterator[str]:
    """Absolute imports of our own modules inside the folders."""
    for path, tree in sources(root):
        for node in ast.walk(tree):
            is_relative = isinstance(node, ast.ImportFrom) and node.level > 0
            if not is_relative and any(name.split(".")[0] == "neufield" for name in imported_names(path, node)):
                yield f"{path}:{node.lineno}: import relatively inside the folders"


def homeless_modules(root: Path) -> Iterator[str]:
    """Modules and folders that are named for no room of the house."""
    for path, _ in sources(root):
        if HOMELESS & {*path.parts[:-1], path.stem}:
            yield f"{path}: a thing without a home means that the house misses a room"


def postponed_annotations(root: Path) -> Iterator[str]:
    """`from __future__ import annotations`, which hides shapes from the checks at run time."""
    for path, tree in sources(root):
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                yield f"{path}:{node.lineno}: no __future__ imports"


def called_names(path: Path, tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Every call with its full name, import aliases resolved: `np.load` is `numpy.load`."""
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases |= {
                a.asname or a.name.split(".")[0]: a.name if a.asname else a.name.split(".")[0] for a in node.names
            }
        elif isinstance(node, ast.ImportFrom):
            names = imported_names(path, node)
            aliases |= {a.asname or a.name: name for a, name in zip(node.names, names, strict=True)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            head, _, rest = ast.unparse(node.func).partition(".")
            yield node, f"{aliases.get(head, head)}.{rest}" if rest else aliases.get(head, head)


def unsafe_loading(root: Path) -> Iterator[str]:
    """What runs code out of files: pickle in all its forms, eval, YAML other than safe_load."""
    for path, tree in sources(root):
        for line, name in all_imports(path, tree):
            if name.split(".")[0] in PICKLES:
                yield f"{path}:{line}: no {name.split('.')[0]}"
        for call, name in called_names(path, tree):
            constants = {k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)}
            if name in ("eval", "exec", "builtins.eval", "builtins.exec", "torch.load", "torch.save"):
                yield f"{path}:{call.lineno}: no {name}"
            elif name.startswith("yaml.") and "load" in name and name != "yaml.safe_load":
                yield f"{path}:{call.lineno}: yaml.safe_load instead of {name}"
            elif name == "numpy.load" and constants.get("allow_pickle") is not False:
                yield f"{path}:{call.lineno}: numpy.load needs allow_pickle=False"


def missing_docstrings(root: Path) -> Iterator[str]:
    """Public functions and classes at module level without a docstring."""
    for path, tree in sources(root):
        for node in tree.body:
            is_definition = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            if is_definition and not node.name.startswith("_") and ast.get_docstring(node) is None:
                yield f"{path}:{node.lineno}: {node.name} has no docstring"


def heavy_imports(root: Path) -> Iterator[str]:
    """Slow libraries imported at the top of a module; torch and numpy are slow too where the command line starts."""
    for path, tree in sources(root):
        is_light = any(fnmatch.fnmatch(path.as_posix(), pattern) for pattern in LIGHT_FILES)
        heavy = HEAVY | {"torch", "numpy", "scipy", "numba"} if is_light else HEAVY
        for node in tree.body:
            for name in imported_names(path, node):
                if name.split(".")[0] in heavy:
                    yield f"{path}:{node.lineno}: import {name.split('.')[0]} inside the functions that use it"


def unlisted_files(root: Path) -> Iterator[str]:
    """Folders with Python files that pyproject does not list as packages, and other files that no pattern packs."""
    setuptools = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            relative = path.relative_to(root)
            if not path.is_file() or "__pycache__" in relative.parts:
                continue
            package = ".".join(("neufield", *relative.parts[:-1]))
            if path.suffix == ".py":
                if package not in setuptools["packages"]:
                    yield f"{relative}: {package} is missing in pyproject's packages"
            elif not any(
                fnmatch.fnmatch(relative.as_posix(), f"{folder}/{pattern}")
                for pattern in setuptools.get("package-data", {}).get(f"neufield.{folder}", [])
            ):
                yield f"{relative}: no pattern of pyproject's package-data packs it"


def missing_packages(root: Path) -> Iterator[str]:
    """Packages that pyproject lists and that are not there, and folders that it does not map."""
    setuptools = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    if setuptools["package-dir"] != {f"neufield.{folder}": folder for folder in FOLDERS}:
        yield "pyproject.toml: package-dir does not map the five folders"
    for package in setuptools["packages"]:
        if not (root.joinpath(*package.split(".")[1:]) / "__init__.py").is_file():
            yield f"pyproject.toml: {package} has no __init__.py"


Rule = Callable[[Path], Iterator[str]]
RULES: list[Rule] = [
    wrong_arrows,
    absolute_imports,
    homeless_modules,
    postponed_annotations,
    unsafe_loading,
    missing_docstrings,
    heavy_imports,
    unlisted_files,
    missing_packages,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_the_rule(rule: Rule):
    assert list(rule(ROOT)) == []


def test_the_rules_see_the_house():
    assert {path.parts[0] for path, _ in sources(ROOT)} == set(FOLDERS)


PYPROJECT = """
[tool.setuptools]
packages = ["neufield.fields", "neufield.render", "neufield.datasets", "neufield.configs", "neufield.tools"]
[tool.setuptools.package-dir]
"neufield.fields" = "fields"
"neufield.render" = "render"
"neufield.datasets" = "datasets"
"neufield.configs" = "configs"
"neufield.tools" = "tools"
[tool.setuptools.package-data]
"neufield.configs" = ["*/*.yaml"]
"""


def build(root: Path, files: dict[str, str]) -> Path:
    """Writes a tree that keeps all rules, and these files into it."""
    house = {f"{folder}/__init__.py": "" for folder in FOLDERS} | {"pyproject.toml": PYPROJECT} | files
    for name, text in house.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


BROKEN: list[tuple[Rule, str, str]] = [
    (wrong_arrows, "fields/a.py", "from ..render import cameras"),
    (wrong_arrows, "fields/a.py", "from .. import render"),
    (wrong_arrows, "fields/kernels/a.py", "from ...render.kernels import march"),
    (wrong_arrows, "fields/a.py", "import neufield.tools.cli"),
    (wrong_arrows, "fields/a.py", "def f():\n    from neufield.datasets import loading"),
    (wrong_arrows, "fields/a.py", "if TYPE_CHECKING:\n    from ..configs import nerf"),
    (wrong_arrows, "fields/a.py", "importlib.import_module('neufield.render.cameras')"),
    (wrong_arrows, "render/a.py", "from ..fields import HashGrid"),
    (wrong_arrows, "render/a.py", "from ..fields.kernels import hash_grid_reference"),
    (wrong_arrows, "render/a.py", "from ..fields.kernels.dispatcher import select"),
    (wrong_arrows, "render/kernels/a.py", "from ...datasets import images"),
    (wrong_arrows, "datasets/a.py", "from ..configs.nerf import Nerf"),
    (wrong_arrows, "configs/a.py", "from ..tools import fitting"),
    (wrong_arrows, "tools/a.py", "from fields.hash_grid import HashGrid"),
    (wrong_arrows, "tools/a.py", "from tests.conftest import ROOT"),
    (wrong_arrows, "tools/a.py", "from ..export import mesh"),
    (absolute_imports, "tools/a.py", "from neufield.fields import HashGrid"),
    (absolute_imports, "tools/a.py", "import neufield.fields"),
    (homeless_modules, "render/utils.py", ""),
    (homeless_modules, "tools/common/a.py", ""),
    (postponed_annotations, "render/a.py", "from __future__ import annotations"),
    (unsafe_loading, "tools/a.py", "import pickle"),
    (unsafe_loading, "tools/a.py", "from cloudpickle import loads"),
    (unsafe_loading, "tools/a.py", "eval('1')"),
    (unsafe_loading, "tools/a.py", "exec(text)"),
    (unsafe_loading, "tools/a.py", "import yaml\nyaml.load(text, Loader=yaml.SafeLoader)"),
    (unsafe_loading, "tools/a.py", "from yaml import unsafe_load as read\nread(text)"),
    (unsafe_loading, "tools/a.py", "import torch\ntorch.load(path, weights_only=True)"),
    (unsafe_loading, "tools/a.py", "from torch import load\nload(path)"),
    (unsafe_loading, "tools/a.py", "import numpy as np\nnp.load(path)"),
    (unsafe_loading, "tools/a.py", "import numpy as np\nnp.load(path, allow_pickle=True)"),
    (unsafe_loading, "tools/a.py", "from numpy import load\nload(path)"),
    (missing_docstrings, "fields/a.py", "def evaluate(x):\n    return x"),
    (missing_docstrings, "fields/a.py", "class Field:\n    x: int"),
    (heavy_imports, "render/a.py", "import open3d as o3d"),
    (heavy_imports, "render/a.py", "from skimage.measure import marching_cubes"),
    (heavy_imports, "tools/cli.py", "import torch"),
    (heavy_imports, "configs/nerf.py", "import numpy as np"),
    (unlisted_files, "fields/deep/a.py", ""),
    (unlisted_files, "configs/defaults.yaml", ""),
    (
        missing_packages,
        "pyproject.toml",
        PYPROJECT.replace('"neufield.fields",', '"neufield.fields", "neufield.gone",'),
    ),
    (missing_packages, "pyproject.toml", PYPROJECT.replace('"neufield.tools" = "tools"\n', "")),
]


@pytest.mark.parametrize(("rule", "name", "text"), BROKEN)
def test_a_broken_rule_is_found(rule: Rule, name: str, text: str, tmp_path: Path):
    complaints = list(rule(build(tmp_path, {name: text})))
    assert complaints
    assert all(complaint.startswith(name) for complaint in complaints)


KEPT = {
    "fields/a.py": "import torch\nfrom .kernels import dispatch\nfrom . import kernels\n",
    "fields/b.py": 'def evaluate(x):\n    """Evaluates."""\n\ndef _hidden(x): ...\n\nmodel.eval()\nre.compile("a")\n',
    "render/a.py": "from ..fields.kernels.dispatch import select\nfrom ..fields.kernels import dispatch\n",
    "datasets/a.py": "import numpy as np\nfrom ..render import a\nx = np.load(path, allow_pickle=False)\n",
    "configs/a.py": "import yaml\nfrom ..datasets import a\n\nx = yaml.safe_load(text)\n",
    "configs/nerf/fast.yaml": "steps: 1\n",
    "tools/cli.py": "from ..configs import a\n\ndef _run():\n    import torch\n    from ..render import b\n",
    "tools/a.py": "def _save():\n    import imageio\n    from safetensors.torch import load\n    load(data)\n",
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_house_in_order_gets_no_complaint(rule: Rule, tmp_path: Path):
    assert list(rule(build(tmp_path, KEPT))) == []
