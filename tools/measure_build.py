#!/usr/bin/env python3
"""Measures what building costs, against its budgets; exit status 1 when something is over.

usage: tools/measure_build.py [BUILD] [--whole]

header     the compiler's own time for `#include <tapegrad.h>` at -O0, the least of five runs
library    the size of BUILD/libtapegrad.so without debug information
whole      with --whole: a build from nothing with all tests, examples and benchmarks, without ccache, by the clock

BUILD is build/ by default. $CXX is the compiler. Run it when the machine has nothing else to do.
"""

import argparse
import os
import pathlib
import resource
import shlex
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADER_SECONDS = 1.5
LIBRARY_MEGABYTES = 8.0
WHOLE_MINUTES = 6.0


def compiler_seconds(command):
    """User and system time of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def header_seconds(folder):
    source = folder / "include.cpp"
    source.write_text("#include <tapegrad.h>\n")
    command = shlex.split(os.environ.get("CXX", "c++"))
    command += ["-std=c++20", "-O0", "-I", str(ROOT), "-c", str(source), "-o", str(folder / "include.o")]
    return min(compiler_seconds(command) for _ in range(5))


def library_megabytes(build, folder):
    library = build / "libtapegrad.so"
    if not library.exists():
        raise SystemExit(f"There is no {library}: build it first.")
    stripped = folder / "stripped.so"
    subprocess.run(["strip", "-o", str(stripped), str(library)], check=True)
    return stripped.stat().st_size / 1e6


def whole_minutes(folder):
    build = folder / "build"
    start = time.monotonic()
    for command in (["meson", "setup", str(build), str(ROOT)], ["meson", "compile", "-C", str(build)]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.monotonic() - start) / 60


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--whole", action="store_true")
    options = parser.parse_args()
    os.environ["CCACHE_DISABLE"] = "1"
    with tempfile.TemporaryDirectory(prefix="tapegrad_measure_") as name:
        folder = pathlib.Path(name)
        rows = [("header", header_seconds(folder), HEADER_SECONDS, "s")]
        rows.append(("library", library_megabytes(options.build, folder), LIBRARY_MEGABYTES, "MB"))
        if options.whole:
            rows.append(("whole", whole_minutes(folder), WHOLE_MINUTES, "min"))
    print(f"{'what':<9}{'measured':>12}{'budget':>12}")
    over = 0
    for what, measured, budget, unit in rows:
        print(f"{what:<9}{measured:>8.2f} {unit:<3}{budget:>8.2f} {unit}{'  OVER' if measured > budget else ''}")
        over += measured > budget
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
