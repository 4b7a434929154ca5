"""ltxd's own commands, run to their end."""

import subprocess

from harness.paths import ENVIRONMENT, GUARD, LTXD, MODELS, PICTURES


def generate(out, *words, model=("--model", "ltx-2.3-tiny", "--models-dir", MODELS)):
    """The words of a command that makes a clip of a moment."""
    picture = ["--image", PICTURES / "start.jpg", "--prompt", "A heron."]
    return ["generate", *model, *picture, "--width", 64, "--height", 64, "--frames", 9, "--out", out, *words]


def said(*words, **environment):
    """The ended process, whatever its exit code. Its environment has no LTXD_…, but for what is given."""
    command = [LTXD, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env={**ENVIRONMENT, **environment}, timeout=GUARD)


def ltxd(*words, code=0, **environment):
    """The ended process, whose exit code is `code`. Its environment has no LTXD_…, but for what is given."""
    ended = said(*words, **environment)
    assert ended.returncode == code, f"{' '.join(map(str, ended.args))}\n{ended.stdout}{ended.stderr}"
    return ended
