"""Packages and their data are named by hand in pyproject.toml: nothing may be forgotten there."""

import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SETUPTOOLS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]
PACKAGES = {name: REPOSITORY / name.replace(".", "/") for name in SETUPTOOLS["packages"]}
NOT_SHIPPED = {"__pycache__", "deploy", "web"}  # dashboard/web ships only what it builds


def test_every_package_is_listed() -> None:
    tops = [path for name, path in PACKAGES.items() if "." not in name]
    found = {init.parent for top in tops for init in top.rglob("__init__.py") if "node_modules" not in init.parts}
    assert found == set(PACKAGES.values())


def test_every_data_file_is_shipped() -> None:
    shipped = {
        file
        for package, patterns in SETUPTOOLS["package-data"].items()
        for pattern in patterns
        for file in PACKAGES[package].glob(pattern + "/*" if pattern.endswith("**") else pattern)
    }
    wanted = {
        file
        for package in PACKAGES.values()
        for file in package.rglob("*")
        if file.is_file() and file.suffix not in {".py", ".lock"} and not NOT_SHIPPED & set(file.parts)
    }
    assert wanted <= shipped
