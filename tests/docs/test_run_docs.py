#!/usr/bin/env python3
"""Tests of run_docs.py: each kind of mistake in a page is found, and a right page passes."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).with_name("run_docs.py")
COMPILER = os.environ.get("CXX", "c++")

HELLO = """
```cpp
#include <cstdio>
int main() { std::puts("one\\ntwo 17 s\\nthree"); }
```
"""


def fenced(language, text, mark=""):
    comment = f"<!-- {mark} -->\n" if mark else ""
    return f"\n{comment}```{language}\n{text}\n```\n"


class RunDocs(unittest.TestCase):
    def check(self, page, *options):
        """Runs the script on one page; returns its exit status, what it said, and the page afterwards."""
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "page.md"
            file.write_text(page)
            (pathlib.Path(folder) / "tapegrad.h").write_text(
                "#pragma once\n#include <cstdio>\nnamespace tapegrad { inline int seven() { return 7; } }\n")
            (pathlib.Path(folder) / "code.h").write_text("int a;\nint b;\nint c;\n")
            (pathlib.Path(folder) / "check").write_text("")
            done = subprocess.run(
                [sys.executable, str(SCRIPT), "--root", folder, "--compiler", COMPILER, *options, str(file)],
                capture_output=True, text=True)
            return done.returncode, done.stdout + done.stderr, file.read_text()

    def passes(self, page):
        status, said, _ = self.check(page)
        self.assertEqual(status, 0, said)

    def fails(self, page, message):
        status, said, _ = self.check(page)
        self.assertEqual(status, 1, said)
        self.assertIn(message, said)

    def test_a_block_needs_a_known_language(self):
        self.fails(fenced("", "x"), "page.md:2: the block has no language")
        self.fails(fenced("c++", "x"), "page.md:2: unknown language 'c++'")
        self.passes(fenced("dot", "digraph {}") + fenced("json", "{}"))

    def test_a_block_needs_an_end(self):
        self.fails("text\n```cpp\nint a;\n", "page.md:2: the block has no end")

    def test_output_is_compared(self):
        self.passes(HELLO + fenced("text", "one\ntwo 17 s\nthree", "output"))
        self.passes(HELLO + "\nIt prints:\n" + fenced("text", "one\ntwo ... s\nthree", "output"))
        self.passes(HELLO + fenced("text", "one\n...\nthree", "output"))
        self.passes(HELLO + fenced("text", "...\nthree", "output"))
        self.fails(HELLO + fenced("text", "one\ntwo 18 s\nthree", "output"), "page.md:8: the output differs")
        self.fails(HELLO + fenced("text", "one\ntwo 17 s", "output"), "the output differs")
        self.fails(HELLO + fenced("text", "one\n...\nfour", "output"), "the output differs")
        self.fails(HELLO + fenced("text", "one\ntwo ... min\nthree", "output"), "the output differs")
        self.fails(fenced("text", "one", "output") + HELLO, "no program before this output")

    def test_a_text_block_is_marked(self):
        self.fails(HELLO + fenced("text", "one"), 'neither marked "output" nor "illustration"')
        self.passes(fenced("text", "one", "illustration"))

    def test_a_program_must_compile_and_succeed(self):
        self.fails(fenced("cpp", "int main() { return x; }"), "page.md:2: does not compile")
        self.fails(fenced("cpp", "int main() { int unused; }"), "unused variable")
        self.fails(fenced("cpp", "int main() { return 3; }"), "page.md:2: exit status 3")
        self.fails(fenced("cpp", "int main() { __builtin_trap(); }"), "exit status")

    def test_statements_are_wrapped_and_continued(self):
        print_seven = fenced("cpp", 'std::printf("%d\\n", seven());')
        self.passes(print_seven + fenced("text", "7", "output"))
        self.passes(fenced("cpp", "int x = seven();") + fenced("cpp", 'std::printf("%d\\n", x);', "continues") +
                    fenced("text", "7", "output"))
        self.fails(fenced("cpp", "int x = seven();") + fenced("cpp", 'std::printf("%d\\n", x);'), "does not compile")
        self.fails(fenced("cpp", "int x;", "continues"), "nothing to continue")
        self.passes(fenced("cpp", "template <class T> T twice(T x) { return 2 * x; }", "declarations") +
                    fenced("cpp", '#include <string>\nstd::printf("%d\\n", twice(seven()));', "continues") +
                    fenced("text", "14", "output"))
        self.passes(fenced("cpp", 'int a = 1;\nint b = a;') +
                    fenced("cpp", 'std::printf("%s:%d\\n", __FILE__, __LINE__ + b - b);', "continues") +
                    fenced("text", "main.cpp:3", "output"))

    def test_files_that_a_program_writes_are_compared(self):
        page = fenced("cpp", 'std::FILE* f = std::fopen("a.dot", "w");\nstd::fputs("digraph {}\\n", f);\nstd::fclose(f);')
        self.passes(page + fenced("dot", "digraph {}", "output: a.dot"))
        self.fails(page + fenced("dot", "graph {}", "output: a.dot"), "the output differs")
        self.fails(page + fenced("dot", "digraph {}", "output: b.dot"), "the program wrote no b.dot")

    def test_excerpts_are_part_of_their_file(self):
        self.passes(fenced("cpp", "int a;\nint b;", "from: code.h"))
        self.fails(fenced("cpp", "int a;\nint c;", "from: code.h"), "the block is not part of code.h")
        self.fails(fenced("cpp", "int a;", "from: none.h"), "there is no none.h")

    def test_commands_are_known(self):
        self.passes(fenced("sh", "./check  # all tests\nmeson setup build\n$ build/examples/digits/digits"))
        self.fails(fenced("sh", "./chek"), "there is no ./chek")
        self.fails(fenced("sh", "mseon setup build"), "unknown command 'mseon'")

    def test_update_writes_the_real_output(self):
        page = HELLO + fenced("text", "wrong", "output") + "\nand\n" + HELLO + fenced("text", "a\nb\nc\nd", "output")
        _, _, after = self.check(page, "--update")
        right = HELLO + fenced("text", "one\ntwo 17 s\nthree", "output")
        self.assertEqual(after, right + "\nand\n" + right)


if __name__ == "__main__":
    unittest.main()
