"""The Python package: its stubs are proto/'s, its types are strict, its suites pass against the installed wheel."""

import os, re, shutil, subprocess, sys, zipfile

import pytest
from harness.paths import GUARD, LTXD, ROOT
from package.conftest import pip


def test_the_stubs_are_what_proto_gives():
    done = subprocess.run([sys.executable, ROOT / "scripts/package-stubs", "--check"], capture_output=True, text=True, timeout=GUARD)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_types_are_strict(tmp_path):
    words = ["-m", "mypy", f"--cache-dir={tmp_path}"]
    done = subprocess.run([sys.executable, *words], cwd=ROOT / "python", capture_output=True, text=True, timeout=GUARD)
    assert done.returncode == 0, done.stdout + done.stderr


def test_types_reach_whoever_uses_the_package(installed, tmp_path):
    (tmp_path / "user.py").write_text(
        "import ltxd\n\n\ndef names(client: ltxd.Client) -> list[str]:\n    client.cancel(7)\n    return [model.name for model in client.node().models]\n"
    )
    words = ["-m", "mypy", "--strict", f"--cache-dir={tmp_path}/cache", "user.py"]
    environment = {**os.environ, "MYPYPATH": str(installed)}
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=GUARD)
    errors = [line for line in done.stdout.splitlines() if line.startswith("user.py") and ": error:" in line]
    assert len(errors) == 1 and 'Argument 1 to "cancel"' in errors[0], done.stdout


def test_a_public_name_has_a_docstring(installed):
    script = (
        "import inspect, ltxd, ltxd.testing, ltxd.pytest_plugin as plugin\n"
        "for module in (ltxd, ltxd.aio, ltxd.testing, plugin):\n"
        "    for name, value in vars(module).items():\n"
        "        if not name.startswith('_') and inspect.isclass(value) and value.__module__.startswith('ltxd.') and '.v1' not in value.__module__:\n"
        "            assert value.__doc__, name\n"
        "            for inner, member in vars(value).items():\n"
        "                if not inner.startswith('_') and (inspect.isfunction(member) or isinstance(member, property)):\n"
        "                    assert member.__doc__, f'{name}.{inner}'\n"
    )
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(installed)}, check=True, timeout=GUARD)


def test_the_same_binary_gives_the_same_wheel(wheel, tmp_path):
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, ROOT / "python", LTXD_BINARY=LTXD)
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def test_what_is_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [licences] = [archive.read(name).decode() for name in names if name.endswith("licenses/THIRD-PARTY")]
        assert all(not entry.is_dir() and entry.external_attr >> 16 in (0o100644, 0o100755) for entry in archive.infolist())
    assert any(name.endswith(".data/scripts/ltxd") for name in names)
    assert {"GPL-3", "NOTICE", "LICENSE-MIT", "LICENSE-APACHE"} <= {name.rsplit("/", 1)[-1] for name in names}
    # Every crate states a licence, and tonic is one of them.
    assert re.search(r"^tonic \d.*: MIT$", licences, re.M) and ": see its text" not in licences


def test_the_client_passes_its_own_tests(suite):
    assert " passed" in suite(ROOT / "python/tests", "-p", "pytester")


def test_the_sample_project_passes_outside_the_repository(suite, tmp_path):
    """Copied as its README says, with nothing of the repository beside it."""
    copied = shutil.copytree(ROOT / "docs/examples/client-tests", tmp_path / "client-tests")
    said = suite(copied)
    print(said)
    assert re.search(r"^13 passed", said, re.M)


@pytest.mark.tools
def test_the_plugin_with_the_pytest_of_debian_12(wheel, tmp_path):
    """In an environment of its own, with what the wheel asks for: this pluggy knows no `wrapper=True`."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "old"], check=True, timeout=GUARD)
    python = tmp_path / "old/bin/python"
    words = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel, "pytest==7.2.1", "pluggy==1.0.0"]
    subprocess.run(words, check=True, timeout=GUARD)
    words = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "pyproject.toml", "--rootdir=.", "test_plugin.py"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LTXD", "PYTEST", "PYTHON"))}
    done = subprocess.run(words, cwd=ROOT / "python/tests", env=environment, capture_output=True, text=True, timeout=12 * GUARD)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-6000:] + done.stderr[-2000:]
