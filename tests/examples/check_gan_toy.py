#!/usr/bin/env python3
"""Short runs of gan_toy: exit status, what it prints, the picture, what it refuses.

Usage: check_gan_toy.py PROGRAM
"""

import re
import sys
import xml.etree.ElementTree

import runs

SVG = "{http://www.w3.org/2000/svg}"


def panels_of(picture):
    """The centres of the circles in each panel, by their class."""
    root = xml.etree.ElementTree.parse(picture).getroot()
    panels = []
    for group in root.iter(SVG + "g"):
        panels.append({"real": [], "fake": [], "mode": []})
        for circle in group.iter(SVG + "circle"):
            panels[-1][circle.get("class")].append((circle.get("cx"), circle.get("cy")))
    width = root.get("viewBox").split()[2]
    assert len(panels) == len(list(root.iter(SVG + "text"))) and int(width) == 320 * len(panels)
    return panels


with runs.Runs(sys.argv[1]) as program:
    # After three steps there is nothing to see yet, and the program says so.
    status, out, error = program.run("--steps", 3)
    assert status == 1, (status, out, error)
    assert out.startswith("the loss of WGAN-GP: gradcheck: passed\n"), out
    assert "  critic.second.weight  f64[128, 128]" in out, out
    found = re.findall(r"^(\S+): (\d) of 8 modes, (\S+) % of the points", out, re.MULTILINE)
    assert [name for name, _, _ in found] == ["non-saturating", "wgan-gp"], out
    missed = 8 - max(int(modes) for _, modes, _ in found)
    assert error.splitlines()[-1] == f"gan_toy: the better generator misses {missed} of 8 modes", error
    panels = panels_of(program.folder / "gan_toy.svg")
    assert [{kind: len(points) for kind, points in panel.items()} for panel in panels] == 2 * [
        {"real": 1000, "fake": 1000, "mode": 8}
    ]

    # A seed makes a run repeatable; another one makes another run.
    picture = (program.folder / "gan_toy.svg").read_text()
    one = program.folder / "one.svg"
    program.run("--steps", 3, "--seed", 1, "--svg", one)
    assert one.read_text() == picture
    program.run("--steps", 3, "--seed", 2, "--svg", one)
    assert one.read_text() != picture

    # A generator learns the same, whether another one was trained before or not.
    status, out, _ = program.run("--steps", 3, "--loss", "wgan-gp", "--svg", one)
    assert re.findall(r"^(\S+): (\d) of 8 modes, (\S+) % of the points", out, re.MULTILINE) == found[1:], out
    assert [panel["fake"] for panel in panels_of(one)] == [panels[1]["fake"]]

    nowhere = program.folder / "no_such_folder" / "a.svg"
    status, _, error = program.run("--steps", 1, "--svg", nowhere)
    assert status == 2 and error.endswith(f"gan_toy: {nowhere} cannot be written\n"), (status, error)
    program.refuses('--loss is one of both non-saturating wgan-gp, not "wgan"', "--loss", "wgan")
    program.refuses('--seed is a whole number from 0 to 1000000, not "-1"', "--seed", -1)
    program.refuses("there is no option --help; the options are --loss --steps --seed --svg", "--help")
