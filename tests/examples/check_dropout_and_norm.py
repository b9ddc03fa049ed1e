#!/usr/bin/env python3
"""Short runs of dropout_and_norm: exit status, what it prints, what it refuses.

Usage: check_dropout_and_norm.py PROGRAM
"""

import re
import sys

import runs

SHORT = ("--images", 25, "--epochs", 3, "--norm-epochs", 1)


def rows(pattern, out):
    return {name: [float(x) for x in numbers.split()] for name, numbers in re.findall(pattern, out, re.MULTILINE)}


with runs.Runs(sys.argv[1]) as program:
    status, out, error = program.run(*SHORT)
    # Three steps over-fit nothing: dropout is only slower, and the program says so.
    assert status == 1, (status, out, error)
    assert error.startswith("dropout_and_norm: the loss on other images is "), error
    assert out.startswith("25 digits to train on, 1772 others, 3 epochs\n"), out
    fits = rows(r"^(no dropout|dropout, p = 0\.[58]) +([\d. ]+)$", out)
    assert len(fits) == 3 and all(len(numbers) == 4 for numbers in fits.values()), out
    assert len({tuple(numbers) for numbers in fits.values()}) == 3, fits
    norms = rows(r"^(2|4|16|64) +([\d. ]+)$", out)
    assert list(norms) == ["2", "4", "16", "64"], out
    # A layer norm does the same in both modes; a batch norm is further from itself the smaller the batches are.
    assert all(numbers[3] == 0 for numbers in norms.values()), norms
    differences = [numbers[4] for numbers in norms.values()]
    assert differences[0] > differences[2] > 0.05, differences

    # A seed makes a run repeatable; another one makes another run.
    assert program.run(*SHORT, "--seed", 1)[1] == out
    assert program.run(*SHORT, "--seed", 2)[1] != out

    program.refuses('--images is a whole number from 25 to 1347, not "24"', "--images", 24)
    program.refuses('--norm-epochs is a whole number from 1 to 1000, not "0"', "--norm-epochs", 0)
    program.refuses(
        "there is no option --batch; the options are --images --epochs --norm-epochs --seed", "--batch", 2
    )
