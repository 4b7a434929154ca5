"""What a comparison leaves in benches/runs/<machine>/: its circumstances, seconds and table, as .json and .md."""

import datetime, json, os, platform, statistics, subprocess, time
from pathlib import Path

import chart

ROOT = Path(__file__).resolve().parents[1]


def machine():
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    flags = next((line.split(":")[1].split() for line in open("/proc/cpuinfo") if line.startswith("flags")), [])
    known = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8") if flag in flags]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": cpu, "cores": os.cpu_count(), "flags": known, "memory_bytes": memory, "system": platform.platform()}


def level(flags):
    """The widest kind of kernels that a processor with these flags runs."""
    return next((name for sign, name in (("amx", "amx"), ("avx512f", "avx512"), ("avx2", "avx2")) if any(flag.startswith(sign) for flag in flags)), "plain")


def versions_of(binaries):
    """What each ltxd calls itself, and the commit that this is run from."""
    found = {str(binary): subprocess.run([str(binary), "--version"], capture_output=True, text=True, check=True).stdout.strip() for binary in binaries}
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return {**found, "commit": commit.stdout.strip()}


def about(model, options, versions, load):
    return {
        "model": model, "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "threads": options.threads, "rounds": options.rounds, "machine": machine(), "versions": versions,
        "load_average": {"before": load[0], "after": load[1]}, "note": options.note,
    }  # fmt: skip


def spread(times):
    middle = statistics.median(times)
    return f"{middle:.3f} ({min(times):.3f}–{max(times):.3f})"


def write(about, run, meaning, found, name):
    """Writes a run's record, where there is one, and its table to the machine's folder, and draws the charts anew."""
    cpu = "-".join(about["machine"]["cpu"].replace("(R)", "").replace("@", "").split()).lower()
    folder = ROOT / "benches/runs" / f"{cpu}-{level(about['machine']['flags'])}-{about['machine']['cores']}"
    folder.mkdir(parents=True, exist_ok=True)
    file = "-".join(filter(None, [time.strftime("%Y-%m-%d"), *name]))
    if run is not None:
        (folder / f"{file}.json").write_text(json.dumps({**about, **run}, indent=1) + "\n")
    facts = [f"- {key}: {value}" for key, value in about.items()]
    (folder / f"{file}.md").write_text("\n".join([f"# {about['model']}", "", *facts, "", meaning, "", found, ""]))
    print(f"bench: wrote {folder / file}.md")
    chart.main()
