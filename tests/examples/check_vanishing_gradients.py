#!/usr/bin/env python3
"""Short runs of vanishing_gradients: exit status, what it prints, the picture, what it refuses.

Usage: check_vanishing_gradients.py PROGRAM
"""

import pathlib
import re
import sys
import xml.etree.ElementTree

import runs

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "initial-values.md"
SVG = "{http://www.w3.org/2000/svg}"
ROW = re.compile(r"^(plain|BatchNorm|LayerNorm|residual) +(default|Xavier|He) +([\d.e+ -]+)$", re.MULTILINE)


def rows_of(out):
    """By activation, the numbers of each row."""
    tables = re.split(r"^(sigmoid|tanh|relu|swish) +first / last .*$", out, flags=re.MULTILINE)
    names = tables[1::2]
    assert names == ["sigmoid", "tanh", "relu", "swish"], names
    return {
        name: {(remedy, values): [float(x) for x in row.split()] for remedy, values, row in ROW.findall(table)}
        for name, table in zip(names, tables[2::2])
    }


with runs.Runs(sys.argv[1]) as program:
    status, out, error = program.run("--depths", "12,3")
    assert (status, error) == (0, ""), (status, error)
    # The statement of the textbooks, as the product and as the tape has it.
    assert out.startswith("ten sigmoid units of slope 0.2 in a row: 0.2^10 = 1.0240e-07, the tape's gradient is 1.0240e-07\n")
    tables = rows_of(out)
    for table in tables.values():
        assert len(table) == 12 and all(len(row) == 5 for row in table.values()), table
        for _, ratio, first, _, last in table.values():
            assert abs(ratio / (first / last) - 1) < 0.15, table  # of numbers with two digits
    sigmoid = tables["sigmoid"]
    assert sigmoid["plain", "default"][1] < 1e-7 < 1e-2 < sigmoid["BatchNorm", "default"][1], sigmoid

    root = xml.etree.ElementTree.parse(program.folder / "vanishing_gradients.svg").getroot()
    panels = list(root.iter(SVG + "g"))
    assert len(panels) == 4
    for panel in panels:
        lines = [line.get("points").split() for line in panel.iter(SVG + "polyline")]
        assert [len(line) for line in lines] == 12 * [12], lines
        for line in lines:
            assert all(0 <= float(x) <= 360 and 0 <= float(y) <= 240 for x, y in (point.split(",") for point in line))

    # The page shows what the program prints.
    status, out, error = program.run()
    assert (status, error) == (0, ""), (status, error)
    measured, shown = rows_of(out), rows_of(PAGE.read_text())
    for name, table in measured.items():
        for row, numbers in table.items():
            assert all(abs(a / b - 1) < 0.11 for a, b in zip(numbers, shown[name][row], strict=True)), (name, row)

    # A seed makes a run repeatable; another one makes another run.
    _, two, _ = program.run("--depths", "2")
    assert program.run("--depths", "2", "--seed", 1)[1] == two
    assert program.run("--depths", "2", "--seed", 2)[1] != two
    # What a net gets does not depend on the nets before it.
    _, both, _ = program.run("--depths", "2,3")
    assert rows_of(both)["relu"]["plain", "He"][0] == rows_of(two)["relu"]["plain", "He"][0]

    # In two layers nothing vanishes, and the program says so.
    status, _, error = program.run("--depths", "2")
    assert status == 1 and "vanishing_gradients: BatchNorm does not help the net of sigmoid\n" in error, (status, error)

    nowhere = program.folder / "no_such_folder" / "a.svg"
    status, _, error = program.run("--depths", "2", "--svg", nowhere)
    assert (status, error) == (2, f"vanishing_gradients: {nowhere} cannot be written\n"), (status, error)
    for depths in ("1", "201", "2,", "", "2;3", "x", "2,3x"):
        program.refuses(f'--depths are whole numbers from 2 to 200, such as 2,10,50, not "{depths}"', "--depths", depths)
    program.refuses("there is no option --depth; the options are --depths --seed --svg", "--depth", 2)
