#!/usr/bin/env python3
"""Checks every source of a Meson build directory with the compiler's -fsyntax-only: all warnings, no code.

Usage: syntax.py BUILD [--jobs N]
"""

import argparse
import concurrent.futures
import json
import pathlib
import shlex
import subprocess
import sys


def syntax_command(entry):
    """The compile command without what it would write."""
    words = iter(shlex.split(entry["command"]))
    command = []
    for word in words:
        if word in ("-o", "-MF", "-MQ"):
            next(words)
        elif word not in ("-c", "-MD", "-g", "ccache"):
            command.append(word)
    return command + ["-fsyntax-only"]


def check(entry):
    return subprocess.run(syntax_command(entry), cwd=entry["directory"], capture_output=True, text=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    entries = json.loads((options.build / "compile_commands.json").read_text())
    # Generated sources do not exist before a build.
    entries = [entry for entry in entries if (pathlib.Path(entry["directory"]) / entry["file"]).is_file()]
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for entry, done in zip(entries, pool.map(check, entries)):
            if done.returncode:
                failures += 1
                print(f"{entry['file']}:\n{done.stderr}")
    print(f"{len(entries)} sources checked, {failures} failed")
    return 1 if failures or not entries else 0


if __name__ == "__main__":
    sys.exit(main())
