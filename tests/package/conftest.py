"""The wheel of the binary under test, installed in a folder as pip installs it."""

import os, subprocess, sys

import pytest
from harness.paths import GUARD, LTXD, ROOT

PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


def pip(*words, **environment):
    subprocess.run([*PIP, *map(str, words)], check=True, timeout=GUARD, env={**os.environ, **environment})


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel's path."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT / "python", LTXD_BINARY=LTXD)
    [made] = folder.glob("*.whl")
    return made


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    """A folder in which the wheel is installed; what it depends on is in the environment of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--no-index", "--target", folder, wheel)
    return folder


@pytest.fixture
def suite(installed, tmp_path):
    """Runs a folder's pytest in a process of its own, with nothing but the installed wheel and what it depends on."""

    def run(folder, *words):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("LTXD", "PYTEST"))}
        environment |= {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'suite'}", "-c", "pyproject.toml", "--rootdir=.", *words]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=12 * GUARD)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        return done.stdout

    return run
