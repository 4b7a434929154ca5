"""The pages say what is so: links lead somewhere, paths exist, every command and flag is one that its program has, and commands
whose files are in the repository run."""

import os, re, shlex, subprocess
from functools import cache

import pytest
from harness.paths import GUARD, LTXD, ROOT

PAGES = sorted(
    page.relative_to(ROOT)
    for pattern in ["*.md", "docs/*.md", "models/*/*.md", "benches/*/README.md", "tests/**/README.md", "scripts/**/README.md"]
    for page in ROOT.glob(pattern)
)  # fmt: skip
# Folders whose names in a page's `code` are paths of this repository.
TOP = ("crates/", "scripts/", "models/", "docs/", "deploy/", "benches/", "proto/", "tests/")


def prose(page):
    """A page without its blocks of code."""
    return "\n".join(line for line in (ROOT / page).read_text().splitlines() if not line.startswith("    "))


def anchors(page):
    """What a heading is called in a link."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def commands(page):
    """The commands of a page's blocks of code: lines that go on are joined, comments left out."""
    lines, joined = [], ""
    for line in (ROOT / page).read_text().splitlines():
        if not (line.startswith("    ") or joined):
            continue
        text = joined + line.strip()
        joined = text[:-1] if text.endswith("\\") else ""
        if not joined:
            lines.append(re.split(r"(?:^|\s)#", text)[0])
    for line in lines:
        for part in re.split(r"; |&& |\| ", line):
            part = re.sub(r"^\w+=\$\((.*)\)$", r"\1", part.strip())
            try:
                words = shlex.split(part)
            except ValueError:
                continue
            words = words[next((i for i, word in enumerate(words) if "=" not in word), 0) :]
            if words:
                yield words


@cache
def help_of(*command):
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, f"{' '.join(command)} --help: exit code {done.returncode}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (ROOT / page).parent / name if name else ROOT / page
        assert file.exists(), f"{page}: {target} leads nowhere"
        assert not anchor or anchor in anchors(file), f"{page}: {name} has no heading {anchor}"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_paths_exist(page):
    for text in re.findall(r"`([^`\s]+)`", prose(page)):
        path = text.split(":")[0]
        if path.startswith(TOP) and not re.search(r"[<>…{]|[A-Z]{4,}$", path):
            assert any(ROOT.glob(path.rstrip("/"))), f"{page}: there is no {path}"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_and_flags_exist(page):
    for words in commands(page):
        program, flags = words[0].removeprefix("./"), {word.split("=")[0] for word in words if word.startswith("--") and word != "--"}
        if program in ("ltxd", "target/release/ltxd", "target/cuda/ltxd"):
            names = [word for word in words[1:3] if re.fullmatch(r"[a-z][a-z-]*", word)]
            known = help_of(LTXD, *names[: 2 if names[:1] in (["config"], ["cluster"]) else 1])
        elif program.startswith("scripts/") and not program.endswith(("/", ",")):
            script = ROOT / program
            assert script.is_file() and os.access(script, os.X_OK), f"{page}: {program} is no script"
            chosen = [word for word in words[1:2] if word in CHOOSING]
            known = script.read_text() if not flags else script.read_text() + help_or_nothing(script) + help_or_nothing(script, *chosen)
        else:
            continue
        for flag in flags:
            assert re.search(re.escape(flag) + r"\b", known), f"{page}: {shlex.join(words)}: there is no {flag}"


# First words by which scripts/bench chooses another program, which has flags of its own.
CHOOSING = ("--gpu", "--sdcpp")


def help_or_nothing(script, *first):
    done = subprocess.run([script, *first, "--help"], capture_output=True, text=True, cwd=ROOT, timeout=GUARD) if is_python(script) else None
    return done.stdout if done else ""


def is_python(script):
    return "python" in script.read_text()


RUNNABLE = [
    words
    for page in PAGES
    for words in commands(page)
    if words[0] == "ltxd"
    and words[1:2] in (["generate"], ["selftest"], ["models"])
    and "…" not in " ".join(words)
    and all((ROOT / word).exists() for word in words if re.search(r"\.(png|jpg|safetensors|gguf)$", word) or word.startswith("crates/"))
    and ("--model" not in words or words[words.index("--model") + 1] in ("small", "tiny"))
]  # fmt: skip


def test_there_are_commands_to_run():
    assert {words[1] for words in RUNNABLE} == {"generate", "selftest", "models"}


@pytest.mark.parametrize("words", RUNNABLE, ids=shlex.join)
def test_commands_that_can_run_do(words, tmp_path):
    moved = [str(tmp_path / word) if words[i - 1] == "--out" else word for i, word in enumerate(words)]
    done = subprocess.run([LTXD, *moved[1:]], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, f"{shlex.join(words)}: exit code {done.returncode}\n{done.stderr}"
