#!/usr/bin/env python3
"""Runs ./quickstart on machines without apt-get, made of a few stand-ins for programs: nothing is compiled.

usage: check_quickstart.py SOURCE
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(sys.argv.pop(1)).resolve()
NEEDED = "g++ meson ninja-build pkg-config libxsimd-dev"


class Quickstart(unittest.TestCase):
    def run_on(self, *succeeding, **scripts):
        """Runs it where only bash, dirname and these programs are; returns its status and what it said."""
        with tempfile.TemporaryDirectory(prefix="tapegrad_quickstart_") as name:
            folder = pathlib.Path(name)
            (folder / ".ci").mkdir()
            shutil.copy(SOURCE / "quickstart", folder)
            shutil.copy(SOURCE / ".ci/packages.sh", folder / ".ci")
            tools = folder / "tools"
            tools.mkdir()
            for program in ("bash", "dirname"):
                (tools / program).symlink_to(shutil.which(program))
            example = folder / "build/examples/digits/digits"
            example.parent.mkdir(parents=True)
            for file in [example, *(tools / program for program in (*succeeding, *scripts))]:
                file.write_text(f"#!/bin/sh\n{scripts.get(file.name, '')}\n")
                file.chmod(0o755)
            done = subprocess.run(
                [tools / "bash", folder / "quickstart"], env={"PATH": str(tools)}, capture_output=True, text=True)
            return done.returncode, done.stdout + done.stderr

    def test_it_says_what_it_needs_and_goes_on_when_that_is_there(self):
        status, said = self.run_on("g++", "meson", "ninja", "pkg-config")
        self.assertEqual(status, 0, said)
        self.assertIn(f"There is no apt-get here. Needed, by Debian's names: {NEEDED}\n", said)
        self.assertNotIn("Missing", said)
        self.assertIn("+ meson setup build -Dtests=false\n+ meson compile -C build digits\n", said)
        self.assertIn("+ build/examples/digits/digits\n", said)

    def test_it_ends_at_what_nobody_can_fetch(self):
        status, said = self.run_on("g++", "ninja", "pkg-config")
        self.assertEqual(status, 1, said)
        self.assertIn(NEEDED, said)
        self.assertIn("Missing: meson\n", said)
        self.assertIn("Cannot go on without meson.", said)
        self.assertNotIn("\n+ meson", said)

    def test_xsimd_is_fetched_by_meson(self):
        status, said = self.run_on("clang++", "meson", "ninja-build", **{"pkg-config": "exit 1"})
        self.assertEqual(status, 0, said)
        self.assertIn("Missing: libxsimd-dev\n", said)
        self.assertIn("Going on without libxsimd-dev: Meson will download it.\n+ meson setup", said)


if __name__ == "__main__":
    unittest.main()
