"""The house rules that a program can check."""

from __future__ import annotations

import ast
import fnmatch
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "neon_edge"
SOURCES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted((ROOT / "scripts").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

TOP_LEVEL = {
    "neon_edge", "engines", "calibration", "scripts", "tests", "Dockerfile.l4t", "pyproject.toml",
    "README.md", "LICENSE", "CHANGELOG.md",
}  # fmt: skip
BANNED = {"manager", "handler", "helper", "helpers", "util", "utils", "common", "data", "info"}
BANNED_WHOLE = {"process", "do"}
TERMS_OF_ART = re.compile("data_?rate", re.IGNORECASE)  # CAN FD's second bit rate
TEXT = {".py", ".md", ".toml", ".sh", ".l4t", ".yaml", ".yml", ".json", ".txt", ""}
# Paths of the machines that people write on, spelt so that this line is not one of them.
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|root|home/\w+|opt/(?:pypi|wheels)|mnt)/")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tracked() -> list[Path]:
    """Files that git tracks, or, in an unpacked archive, all that would be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0 and listed.stdout:
        return [path for name in listed.stdout.split("\0") if (path := ROOT / name).is_file()]
    return [*SOURCES, *SCRIPTS, *TESTS]


def defined(tree: ast.AST) -> Iterator[str]:
    """Every name that a file itself gives: not those it merely uses of others."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield from [node.attr] if ast.unparse(node.value) == "self" else []


def words(name: str) -> set[str]:
    """The words of a snake_case, CamelCase or UPPER_CASE name."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)}


def is_banned(name: str) -> bool:
    plain = TERMS_OF_ART.sub("", name)
    return bool(words(plain) & BANNED) or name.strip("_").lower() in BANNED_WHOLE


@pytest.mark.parametrize(
    ("name", "banned"),
    [
        ("BusManager", True), ("error_handler", True), ("_data", True), ("INFO", True),
        ("process", True), ("do", True), ("process_id", False), ("undo", False),
        ("metadata", False), ("CalibrationData", True), ("HTTPInfo", True), ("dot", False),
        ("FD_DATA_RATE", False),
    ],
)  # fmt: skip
def test_the_rule_about_names_knows_words(name: str, banned: bool) -> None:
    assert is_banned(name) is banned


def test_the_top_level_is_fixed() -> None:
    top = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert {name for name in top if not name.startswith(".")} <= TOP_LEVEL


def test_no_file_is_longer_than_300_lines() -> None:
    long = {
        named(path): count
        for path in (*SOURCES, *SCRIPTS, *TESTS)
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 300
    }
    assert long == {}


def test_the_loop_and_every_verb_fit_on_a_screen() -> None:
    short = [PACKAGE / "runtime" / "loop.py", *(PACKAGE / "cli").glob("*.py")]
    lengths = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in short}
    assert {name: count for name, count in lengths.items() if count > 80} == {}


@pytest.mark.parametrize("path", [*SOURCES, *SCRIPTS], ids=named)
def test_names_say_something(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert sorted({name for name in (*defined(tree), path.stem) if is_banned(name)}) == []


def test_no_class_is_a_bare_frame() -> None:
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        assert "Frame" not in classes, named(path)


def test_only_safety_makes_a_joint_command() -> None:
    makers = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                made = node.func
                name = made.attr if isinstance(made, ast.Attribute) else getattr(made, "id", "")
                if name == "JointCommand":
                    makers.add(path.relative_to(PACKAGE).parts[0])
    assert makers == {"safety"}


def test_import_contracts_are_kept() -> None:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    "module",
    ["neon_edge.runtime.control", "neon_edge.runtime.backbone", "neon_edge.runtime.supervisor",
     "neon_edge.cli.run", "neon_edge.cli.main"],
)  # fmt: skip
def test_running_a_robot_loads_no_training_library(module: str) -> None:
    heavy = ("torch", "transformers", "onnx", "onnxscript", "matplotlib", "rich", "av", "neon")
    code = f"import sys, {module}; print(*(m for m in {heavy} if m in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_nothing_depends_on_the_machine_it_was_written_on() -> None:
    found = []
    for path in tracked():
        if path.suffix not in TEXT:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [
            f"{named(path)}:{number}: {line.strip()}"
            for number, line in enumerate(text.splitlines(), 1)
            if MACHINE_PATH.search(line)
        ]
    assert found == []


def test_ci_runs_the_command_that_people_run() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line for line in lines if line.strip() and not line.startswith("#")]
    assert commands == ['exec "$(dirname "$0")/../scripts/test.sh"']


def test_every_script_that_is_run_can_be_run() -> None:
    for path in (ROOT / ".ci" / "run", *(ROOT / "scripts").glob("*.sh")):
        assert path.stat().st_mode & 0o111, named(path)
        checked = subprocess.run(["bash", "-n", str(path)], capture_output=True, check=False)
        assert checked.returncode == 0, checked.stderr


def test_no_folder_of_tests_is_passed_over(pytestconfig: pytest.Config) -> None:
    """pytest's own list of folders to pass over has `build` on it."""
    folders = {part for path in TESTS for part in path.relative_to(ROOT).parts[:-1]}
    patterns = pytestconfig.getini("norecursedirs")
    assert {f for f in folders for p in patterns if fnmatch.fnmatch(f, p)} == set()
