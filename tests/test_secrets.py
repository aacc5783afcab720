"""No pickle but our own checkpoints, no secret in an address, no clean target near raw data."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDERS = ("slams", "workflow", "benchmarks")
UNPICKLING = {"pickle.load", "pickle.loads", "pickle.Unpickler", "joblib.load", "dill.load"}
UNPICKLING |= {"pd.read_pickle", "pandas.read_pickle", "cloudpickle.load", "cloudpickle.loads"}
UNPICKLING |= {"shelve.open", "marshal.load", "marshal.loads", "torch.jit.load"}


def calls(repository: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call in the code, as place and node."""
    for folder in FOLDERS:
        for path in sorted((repository / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.Call):
                    yield f"{path.relative_to(repository)}:{node.lineno}", node


def keyword(call: ast.Call, name: str) -> object:
    """The constant that a call gives a keyword; None without it."""
    values = [word.value for word in call.keywords if word.arg == name]
    return values[0].value if values and isinstance(values[0], ast.Constant) else None


def test_checkpoints_are_read_as_weights_only(repository: Path) -> None:
    loads = [(at, call) for at, call in calls(repository) if ast.unparse(call.func) == "torch.load"]
    assert len(loads) >= 4  # the scan sees them
    assert not [at for at, call in loads if keyword(call, "weights_only") is not True]


def test_nothing_else_is_unpickled(repository: Path) -> None:
    found = [at for at, call in calls(repository) if ast.unparse(call.func) in UNPICKLING]
    found += [at for at, call in calls(repository) if keyword(call, "allow_pickle")]
    assert not found
    # Nor under another name: only the error is imported from pickle.
    for folder in FOLDERS:
        for path in (repository / folder).rglob("*.py"):
            names = re.findall(r"^\s*from (?:pickle|torch) import (.*)$", path.read_text(), re.M)
            assert not {"load", "loads", "Unpickler"} & set(re.split(r"[,\s]+", " ".join(names)))


def test_the_scan_finds_what_it_looks_for() -> None:
    bad = ast.parse("torch.load(p, weights_only=False); np.load(p, allow_pickle=True)")
    torch_load, numpy_load = (n for n in ast.walk(bad) if isinstance(n, ast.Call))
    assert keyword(torch_load, "weights_only") is False and keyword(numpy_load, "allow_pickle")


def test_clean_targets_leave_raw_data(repository: Path, tmp_path: Path) -> None:
    makefile = (repository / "Makefile").read_text()
    targets = re.findall(r"^(clean-[a-z]+):", makefile, re.MULTILINE)
    assert "clean-results" in targets
    (tmp_path / "Makefile").write_text(makefile)
    for target in targets:
        raw = tmp_path / "data/demo/planet/era5/2001/era5_t_2001-01.nc"
        checkpoint = tmp_path / "results/demo/models/checkpoints/prior-pixel/checkpoint.pt"
        for path in (raw, checkpoint):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
        subprocess.run(["make", "--silent", target], cwd=tmp_path, check=True)
        assert raw.is_file()
        assert not checkpoint.exists()


@pytest.mark.parametrize("name", ["slams", "workflow"])
def test_no_key_is_read_but_where_requests_are_made(repository: Path, name: str) -> None:
    readers = {
        str(path.relative_to(repository))
        for path in (repository / name).rglob("*")
        if path.suffix in (".py", ".smk") and re.search("CDSAPI_KEY|cdsapirc", path.read_text())
    }
    assert readers == ({"slams/archives/cds.py"} if name == "slams" else set())
