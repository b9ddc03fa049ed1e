#!/usr/bin/env python3
"""Checks that the steps of the accumulator machine jump to the next one.

usage: check_machine.py <static library> ...     the optimized kernel libraries

The machine (autograd/kernels/pointwise_machine.cpp) rests on the compiler turning the last call of every step into a
jump. Were one of them a call, each tile would use more stack. Fails when a step calls through a pointer, when it does
not end in a jump through one, or when it returns although it is not the last one of a tile.
"""
import re
import subprocess
import sys

FUNCTION = re.compile(r"^[0-9a-f]+ <(.*)>:$")
STEP = re.compile(r"\bMachine<(\w+), .*::step<(\d+)ul?>\(")
INSTRUCTION = re.compile(r"^\s+[0-9a-f]+:\s+(?:notrack |bnd )?(\w+)\s*(.*)$")
# The codes of machine.h after which a tile is done: store_last and next_tile.
LAST_OF_TILE = {3, 4}


def steps_of(library):
    """(name, code, instructions) of every step; an instruction is (mnemonic, operands)."""
    command = ["objdump", "--disassemble", "--demangle", "--no-show-raw-insn", library]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found, body = [], None
    for line in listing.splitlines():
        function = FUNCTION.match(line)
        if function:
            step = STEP.search(function[1])
            # Parts that the compiler moved away hold rare cases, and no end.
            body = [] if step and ".cold" not in function[1] else None
            if body is not None:
                found.append((f"step<{step[2]}> of {function[1].split('::step<')[0]}", int(step[2]), body))
        elif body is not None and (instruction := INSTRUCTION.match(line)):
            body.append((instruction[1], instruction[2]))
    return found


def faults(code, body):
    if any(name.startswith("call") and operands.startswith("*") for name, operands in body):
        yield "calls through a pointer"
    if not any(name.startswith("jmp") and operands.startswith("*") for name, operands in body):
        # Two steps with the same instructions may be one, which the other jumps to.
        if not (body and body[-1][0].startswith("jmp") and "::step<" in body[-1][1]):
            yield "does not jump to the next step"
    if code not in LAST_OF_TILE and any(name.startswith("ret") for name, _ in body):
        yield "returns"


def main(libraries):
    if not libraries:
        print(__doc__)
        return 2
    count = problems = 0
    for library in libraries:
        found = steps_of(library)
        if not found:
            problems += 1
            print(f"{library} has no machine")
        for name, code, body in found:
            count += 1
            for fault in faults(code, body):
                problems += 1
                print(f"{library}: {name} {fault}")
    print(f"{count} steps of {len(libraries)} libraries, {problems} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
