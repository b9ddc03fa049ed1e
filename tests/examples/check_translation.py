#!/usr/bin/env python3
"""Short runs of translation: exit status, what it prints, what it refuses.

Usage: check_translation.py PROGRAM
"""

import re
import sys

import runs

ROW = re.compile(r"^(dense|convolutions with \w+|\.\.\. with [\w, ]+?) +(\d+) +((?: *[01]\.\d{3}){5})$", re.MULTILINE)

with runs.Runs(sys.argv[1]) as program:
    # One epoch shows what needs little training: without strides, a shift changes nothing under global pooling.
    status, out, error = program.run("--epochs", 1)
    assert status in (0, 1) and (status == 0) == (error == ""), (status, out, error)
    assert all(line.startswith("translation: not measured: ") for line in error.splitlines()), error
    rows = {name: (int(parameters), [float(x) for x in row.split()]) for name, parameters, row in ROW.findall(out)}
    assert len(rows) == 6, out
    assert rows["convolutions with strides"][0] == rows["... with max pooling"][0] == 3818, rows
    assert rows["... with max, then global pooling"][0] == rows["... with global pooling only"][0], rows
    globally = rows["... with global pooling only"][1]
    assert max(globally) - min(globally) < 0.05, globally
    dense = rows["dense"][1]
    assert dense[0] > 0.6 and max(dense[2:]) < 0.3, dense

    status, out_of_defaults, error = program.run()
    assert (status, error) == (0, ""), (status, out_of_defaults, error)
    assert len(ROW.findall(out_of_defaults)) == 6 and "global pooling only" in out_of_defaults, out_of_defaults

    # A seed makes a run repeatable.
    assert program.run("--epochs", 1, "--seed", 1)[1] == out

    program.refuses('--epochs is a whole number from 1 to 10000, not "0"', "--epochs", 0)
    program.refuses("there is no option --shift; the options are --epochs --seed", "--shift", 1)
