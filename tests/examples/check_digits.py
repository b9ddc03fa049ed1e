#!/usr/bin/env python3
"""Short runs of digits on a data set made here: what it prints, the picture, what it refuses.

Usage: check_digits.py PROGRAM
"""

import random
import re
import struct
import sys

import runs

SIDE = 12


def image(label, draw):
    """A bright bar whose row tells the class, on noise."""
    return bytes(
        255 if row == 1 + label and 1 <= column < 11 else draw.randrange(60)
        for row in range(SIDE)
        for column in range(SIDE)
    )


def write_idx(path, sizes, elements):
    path.write_bytes(struct.pack(f">HBB{len(sizes)}I", 0, 8, len(sizes), *sizes) + elements)


def write_data(folder, part, count, draw):
    labels = [k % 10 for k in range(count)]
    write_idx(folder / f"{part}-images-idx3-ubyte", (count, SIDE, SIDE), b"".join(image(k, draw) for k in labels))
    write_idx(folder / f"{part}-labels-idx1-ubyte", (count,), bytes(labels))


with runs.Runs(sys.argv[1]) as program:
    data = program.folder / "data"
    data.mkdir()
    draw = random.Random(1)
    write_data(data, "train", 300, draw)
    write_data(data, "t10k", 50, draw)

    # Too short a training: some images are misclassified, and all that is shown about them agrees.
    short = ("--data", data, "--epochs", 1, "--width", 2, "--batch", 50)
    status, out, error = program.run(*short)
    assert status == 0, (status, out, error)
    assert "gradcheck: passed" in out and "block3.shortcut" in out, out
    accuracy = float(re.search(r"^test accuracy  (\S+)$", out, re.MULTILINE)[1])
    table = re.search(r"^confusion.*\n.*\n((?:.*\n){10})", out, re.MULTILINE)[1].splitlines()
    counts = [[0 if word == "." else int(word) for word in row.split()[1:]] for row in table]
    assert [sum(row) for row in counts] == 10 * [5], counts
    hits = sum(counts[k][k] for k in range(10))
    assert abs(hits / 50 - accuracy) < 1e-3 and hits < 50, (hits, accuracy)
    picture = (program.folder / "misclassified.pgm").read_bytes()
    kind, width, height, largest = picture.split(maxsplit=4)[:4]
    rows = (50 - hits + 9) // 10
    assert (kind, int(width), int(height), largest) == (b"P5", 10 * 13 * 8, rows * 13 * 8, b"255"), picture[:20]
    assert len(picture) == len(b"P5\n%d %d\n255\n" % (int(width), int(height))) + int(width) * int(height)

    # The same again; and on a validation part of the training set.
    assert program.run(*short)[1] == out
    status, out, _ = program.run(*short, "--validate", "yes")
    assert status == 0 and "validation accuracy" in out, out

    program.refuses(
        f"{program.folder}/none: there is no train-images-idx3-ubyte, nor train-images-idx3-ubyte.gz, at digits.cpp:"
        + re.search(r"digits.cpp:(\d+)", program.run("--data", program.folder / "none")[2])[1],
        *("--data", program.folder / "none"),
    )
    program.refuses('--epochs is a whole number from 1 to 1000, not "0"', "--epochs", 0)
