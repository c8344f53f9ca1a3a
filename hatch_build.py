"""The build's hook: what every call goes through is compiled by mypyc, where there is a C compiler.

The modules are named in ``pyproject.toml``. They are Python like all others; a wheel without their
compiled form serves the same calls, slower. An editable install never has it, so that what runs is
what was edited; ``./dev compile`` unpacks a wheel beside it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CHECKS = (
    "--config-file=",
    f"--cache-dir={os.devnull}",
    "--follow-imports=silent",
    "--ignore-missing-imports",
    "--disable-error-code=func-returns-value",  # a page and a refusal are answered in one return
)
"""How mypy looks at them: types are basedpyright's matter, and its own is what can be compiled."""

OPTIMISED = "1"


class CustomBuildHook(BuildHookInterface[Any]):
    """Adds the compiled modules to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, if that can be done here; say so if not."""
        if version == "editable":
            return
        missing = lacking()
        if missing is not None:
            self.app.display_warning(f"not compiled, for {missing}: calls are served, slower")
            return
        self._folder = tempfile.TemporaryDirectory()
        made = compile_into(Path(self._folder.name), Path(self.root, "src"), self.config["modules"])
        build_data["force_include"] |= {str(path): place for place, path in made.items()}
        build_data |= {"pure_python": False, "infer_tag": True}

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - hatchling's names
        """Throw away what the wheel has now."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()


def lacking() -> str | None:
    """What is not here of all that compiling takes; None when all is."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler ({compiler})"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "Python's headers are not here"
    return None


def compile_into(folder: Path, source: Path, modules: Sequence[str]) -> dict[str, Path]:
    """Compile modules; what was made, by its place in the wheel. Raises: SystemExit, from mypy."""
    from setuptools import Distribution  # noqa: PLC0415 - an editable install does not need it

    found = translated(folder, source, modules)
    build = Distribution({"name": "steelyard", "ext_modules": found}).get_command_obj("build_ext")
    build.build_lib, build.build_temp = f"{folder}/lib", f"{folder}/temp"
    build.ensure_finalized()
    build.run()
    lib = folder / "lib"
    return {str(path.relative_to(lib)): path for path in lib.rglob("*.*") if path.is_file()}


def translated(folder: Path, source: Path, modules: Sequence[str]) -> list[Any]:
    """Modules in C, as extensions of one group: they call each other as C does.

    Raises: SystemExit, when mypy finds what can't be compiled, and has said why.
    """
    from mypyc.build import mypycify  # noqa: PLC0415 - the same

    with contextlib.chdir(source):
        return mypycify(
            [*CHECKS, *(f"{name.replace('.', '/')}.py" for name in modules)],
            opt_level=OPTIMISED,
            debug_level="0",
            target_dir=f"{folder}/c",
        )
