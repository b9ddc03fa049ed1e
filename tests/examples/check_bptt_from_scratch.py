#!/usr/bin/env python3
"""Short runs of bptt_from_scratch: exit status, what it prints, what it refuses.

Usage: check_bptt_from_scratch.py PROGRAM
"""

import math
import random
import re
import sys

import runs


def bits(out, name):
    return float(re.search(rf"^{name}: (\S+) bits per symbol", out, re.MULTILINE).group(1))


with runs.Runs(sys.argv[1]) as program:
    # What follows an "a" depends on the symbol before it. A table of pairs cannot know: one bit for every other symbol.
    # A recurrent cell can.
    learnable = program.folder / "learnable.txt"
    learnable.write_text("xaza" * 1000)
    status, out, error = program.run("--file", learnable, "--steps", 200, "--hidden", 16)
    assert status == 0, (status, out, error)
    assert abs(bits(out, "pairs") - 0.5) < 0.01, out
    assert bits(out, "rnn") < 0.4 and bits(out, "lstm") < 0.4, out
    written = re.search(r"^rnn: .*\n\n(\w{300})\n\n", out, re.MULTILINE).group(1)
    in_order = sum(written[i : i + 4] in "xazaxaz" for i in range(297))
    assert in_order > 250, (in_order, written)
    rows = re.findall(r"^ +(\d+)  rnn #* +([\d.e-]+)  lstm #* +([\d.e-]+)$", out, re.MULTILINE)
    assert [int(back) for back, _, _ in rows] == 2 * [0, 1, 2, 3, 4, 8, 12, 16, 20, 24, 28], out
    assert rows[0][1:] == rows[11][1:] == ("1", "1"), out
    # The gradients vanish, in an untrained simple cell more than in an untrained LSTM.
    assert 0 < float(rows[10][1]) < float(rows[10][2]) / 10 < 0.1, out

    # On random symbols, one step is not enough to be better than the pairs.
    noise = program.folder / "noise.txt"
    noise.write_text("".join(random.Random(1).choices("abcdefgh", k=4000)))
    status, out, error = program.run("--file", noise, "--steps", 1, "--hidden", 4, "--cell", "rnn")
    assert status == 1 and error.splitlines()[-1].startswith("bptt_from_scratch: rnn needs "), (status, error)
    assert abs(bits(out, "pairs") - math.log2(8)) < 0.1 and "\nlstm:" not in out, out

    # A seed makes a run repeatable.
    again = program.run("--file", noise, "--steps", 1, "--hidden", 4, "--cell", "rnn")
    timing = re.compile(r"\d+ steps per second")
    assert timing.sub("", again[1]) == timing.sub("", out), again

    # Bytes that are no characters are shown as question marks.
    latin = program.folder / "latin.txt"
    latin.write_bytes(bytes([228, 246, 252, 27]) * 1000)
    _, out, _ = program.run("--file", latin, "--steps", 1, "--hidden", 2, "--cell", "rnn")
    assert "\n\n" + 300 * "?" + "\n\n" in out, out

    # Without a file, the text is the documentation, where a step is not enough either.
    status, out, error = program.run("--steps", 1, "--hidden", 4)
    assert status == 1 and bits(out, "rnn") > 4 and bits(out, "lstm") > 4, (status, out, error)

    empty = program.folder / "empty.txt"
    empty.touch()
    binary = program.folder / "binary"
    binary.write_bytes(bytes(range(256)) * 100)
    short = program.folder / "short.txt"
    short.write_text("too short")
    missing = program.folder / "missing.txt"
    program.refuses(f"{missing} cannot be read", "--file", missing)
    program.refuses(f"{empty} is empty", "--file", empty)
    program.refuses(f"{binary} is not a text: byte 0 is zero", "--file", binary)
    program.refuses("the text has 9 bytes; at least 1174 are needed", "--file", short)
    program.refuses("--file needs a value", "--file")
    program.refuses("--steps is a whole number from 1 to 1000000, not \"0\"", "--steps", 0)
    program.refuses("--hidden is a whole number from 1 to 4096, not \"12x\"", "--hidden", "12x")
    program.refuses('--cell is one of both rnn lstm, not "gru"', "--cell", "gru")
    program.refuses("there is no option --step; the options are --file --cell --steps --hidden --seed", "--step", 1)
