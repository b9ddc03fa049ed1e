#!/usr/bin/env python3
"""Looks for symbols through which one instruction set's code could leak into another's.

usage: check_symbols.py <static library> ...     one per instruction set

Fails when
- two libraries share a weak text symbol: the linker keeps one copy, perhaps the one for the wrong processor;
- a library exports a function other than the fill_* that build its table.
"""
import itertools
import re
import subprocess
import sys

ENTRY = re.compile(r"tapegrad::kernels::(\w+)::fill_\w+\(tapegrad::kernels::Table&\)")
# Added by sanitizers and coverage, for data and constructors of their own.
INSTRUMENTATION = re.compile(r"^(asan|ubsan|tsan|sancov)\.|^__(asan|ubsan|tsan|sanitizer)_|^_sub_[ID]_")


def text_symbols(library):
    """(weak, global) text symbols by mangled name."""
    listing = subprocess.run(["nm", "--defined-only", "-P", library], check=True, capture_output=True, text=True).stdout
    weak, exported = set(), set()
    for line in listing.splitlines():
        fields = line.split()
        if len(fields) < 2 or INSTRUMENTATION.match(fields[0]):
            continue
        name, kind = fields[0], fields[1]
        # i and u are unique functions and objects: merged across libraries as weak ones are.
        if kind in ("W", "i", "u"):
            weak.add(name)
        elif kind == "T":
            exported.add(name)
    return weak, exported


def demangle(names):
    names = sorted(names)
    output = subprocess.run(["c++filt"], input="\n".join(names), check=True, capture_output=True, text=True).stdout
    return output.splitlines() if names else []


def main(libraries):
    if not libraries:
        print(__doc__)
        return 2
    problems = []
    symbols = {library: text_symbols(library) for library in libraries}
    for library, (_, exported) in symbols.items():
        entries = 0
        for name in demangle(exported):
            if ENTRY.fullmatch(name):
                entries += 1
            else:
                problems.append(f"{library} exports {name}")
        if entries == 0:
            problems.append(f"{library} has no fill_table: is it a kernel library?")
    for first, second in itertools.combinations(libraries, 2):
        for name in demangle(symbols[first][0] & symbols[second][0]):
            problems.append(f"{first} and {second} share {name}")
    for problem in problems:
        print(problem)
    print(f"{len(libraries)} kernel libraries, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
