#!/usr/bin/env python3
"""Compiles and runs the code blocks of the documentation.

Every fenced block of the given Markdown files has a language:

cpp     with `int main`: a program, compiled as it stands. Without: statements, wrapped into a main function with
        `#include <tapegrad.h>` and `using namespace tapegrad;`; its own #include lines go to the top. All are run in a
        folder of their own and must exit with 0; the source locations that they print name main.cpp and a line of the
        block.
text    what a program prints (marked "output"), or anything else (marked "illustration").
sh      commands. Not run; each line must start with a command that is known here, and a script that it names must exist.
dot, json, meson, cmake, python
        not run.

A comment on the line before a block says more about it:

<!-- continues -->       cpp: the statements follow those of the last block, in the same main function
<!-- declarations -->    cpp: the block stands before main; the next block that continues it gives the statements
<!-- from: FILE -->      any language: the block is part of FILE, word for word; it is not compiled here
<!-- output -->          text: the standard output of the last program. `...` stands for any text in a line; a line that is
                         only `...` stands for any number of lines
<!-- output: FILE -->    any language: the same for a file that the last program wrote
<!-- illustration -->    text: compared with nothing

Exit status 1 when a block fails. --update writes the real output into the output blocks that differ.
"""

import argparse
import concurrent.futures
import dataclasses
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

LANGUAGES = {"cpp", "text", "sh", "dot", "json", "meson", "cmake", "python"}
COMMANDS = {"apt-get", "build", "cd", "cmake", "export", "git", "meson", "ninja", "python3", "sudo"}
STATEMENTS_HEAD = "#include <tapegrad.h>\n#include <cmath>\n#include <iostream>\n#include <vector>\n"
TIMEOUT = 120


class DocsError(Exception):
    pass


@dataclasses.dataclass
class Block:
    page: pathlib.Path
    line: int  # of the opening fence, from 1
    language: str
    mark: str  # of the comment before it, or ""
    argument: str  # behind the colon of the mark
    text: str

    @property
    def place(self):
        return f"{self.page}:{self.line}"


@dataclasses.dataclass
class Program:
    """One program: the block that starts it and those that continue it."""

    blocks: list
    outputs: list = dataclasses.field(default_factory=list)

    @property
    def place(self):
        return self.blocks[0].place

    @property
    def is_complete(self):
        return re.search(r"\bint\s+main\s*\(", self.blocks[0].text) is not None

    def source(self):
        """The file to compile. Lines are counted as a reader counts them, and the file is called main.cpp."""
        if self.is_complete:
            return f'#line 1 "main.cpp"\n{self.blocks[0].text}\n'
        head, declarations, statements = STATEMENTS_HEAD, "", ""
        line = 1
        for block in self.blocks:
            head += "".join(row + "\n" for row in block.text.splitlines() if row.startswith("#include"))
            body = re.sub(r"^#include.*$", "", block.text, flags=re.M)
            body = f'#line {line} "main.cpp"\n{body}\n'
            line += len(block.text.splitlines())
            if block.mark == "declarations":
                declarations += body
            else:
                statements += body
        return f"{head}using namespace tapegrad;\n{declarations}int main() {{\n{statements}}}\n"


def parse(page, text):
    """The blocks of a page."""
    blocks = []
    lines = text.splitlines()
    mark = argument = ""
    number = 0
    while number < len(lines):
        line = lines[number]
        comment = re.fullmatch(r"\s*<!--\s*([a-z ]+?)\s*(?::\s*(.*?))?\s*-->\s*", line)
        fence = re.match(r"(\s*)(```+|~~~+)\s*(.*?)\s*$", line)
        if fence:
            indent, ticks, language = fence.groups()
            first = number + 1
            number = first
            while number < len(lines) and lines[number].strip() != ticks:
                number += 1
            if number == len(lines):
                raise DocsError(f"{page}:{first}: the block has no end")
            body = "\n".join(row.removeprefix(indent) for row in lines[first:number])
            blocks.append(Block(page, first, language, mark, argument, body))
            mark = argument = ""
        elif comment:
            mark, argument = comment.group(1), comment.group(2) or ""
        elif line.strip():
            mark = argument = ""
        number += 1
    return blocks


def check_shell(block, root):
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["$"]:
            words = words[1:]
        if words[:1] == ["sudo"]:
            words = words[1:]
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        if not words:
            continue
        if words[0].startswith("./"):
            if not (root / words[0]).is_file():
                raise DocsError(f"{block.place}: there is no {words[0]}")
        elif words[0].split("/")[0] not in COMMANDS:
            raise DocsError(f"{block.place}: unknown command {words[0]!r}")


def check_excerpt(block, root):
    file = root / block.argument
    if not file.is_file():
        raise DocsError(f"{block.place}: there is no {block.argument}")
    if block.text not in file.read_text():
        raise DocsError(f"{block.place}: the block is not part of {block.argument}")


def collect(blocks, root):
    """Checks what needs no compiler; returns the programs and the messages of what is wrong."""
    programs, errors = [], []
    for block in blocks:
        try:
            if not block.language:
                raise DocsError(f"{block.place}: the block has no language")
            if block.language not in LANGUAGES:
                raise DocsError(f"{block.place}: unknown language {block.language!r}")
            if block.mark == "from":
                check_excerpt(block, root)
            elif block.mark == "output":
                if not programs or programs[-1].blocks[0].page != block.page:
                    raise DocsError(f"{block.place}: no program before this output")
                programs[-1].outputs.append(block)
            elif block.language == "cpp":
                add_code(programs, block)
            elif block.language == "sh":
                check_shell(block, root)
            elif block.language == "text" and block.mark != "illustration":
                raise DocsError(f'{block.place}: the text block is neither marked "output" nor "illustration"')
        except DocsError as error:
            errors.append(str(error))
    return programs, errors


def add_code(programs, block):
    if block.mark == "continues":
        if not programs or programs[-1].blocks[0].page != block.page:
            raise DocsError(f"{block.place}: there is nothing to continue")
        programs[-1].blocks.append(block)
    elif block.mark in ("", "declarations"):
        programs.append(Program([block]))
    else:
        raise DocsError(f'{block.place}: unknown mark "{block.mark}"')


def matches(expected, actual):
    """Compares texts; in `expected`, `...` stands for anything in a line, or, alone, for any lines."""
    pattern = ""
    for line in expected.rstrip().splitlines():
        if line.strip() == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(re.escape(part) for part in line.rstrip().split("...")) + "\n"
    cleaned = "".join(line.rstrip() + "\n" for line in actual.rstrip().splitlines())
    return re.fullmatch(pattern, cleaned) is not None


class Runner:
    def __init__(self, options, folder):
        self.folder = folder
        self.root = options.root
        self.command = shlex.split(options.compiler) + ["-std=c++20", "-O0", "-pthread", "-I", str(self.root)]
        self.link = []
        if options.library:
            library = pathlib.Path(options.library).resolve()
            self.link = [str(library), f"-Wl,-rpath,{library.parent}"]
        self.precompiled = []

    def precompile(self):
        """Compiles tapegrad.h once; a program that includes it first then does not parse it again."""
        header = self.root / "tapegrad.h"
        is_clang = "clang" in subprocess.run(self.command[:1] + ["--version"], capture_output=True, text=True).stdout
        target = self.folder / ("tapegrad.h.pch" if is_clang else "tapegrad.h.gch")
        done = subprocess.run(self.command + ["-x", "c++-header", str(header), "-o", str(target)], capture_output=True, text=True)
        if done.returncode:
            raise DocsError(f"tapegrad.h does not compile:\n{done.stderr}")
        self.precompiled = ["-include-pch", str(target)] if is_clang else ["-include", str(self.folder / "tapegrad.h")]

    def run(self, number, program):
        """Compiles and runs a program; returns its output blocks with the texts that they should have shown."""
        place = self.folder / str(number)
        place.mkdir()
        source, binary = place / "program.cpp", place / "program"
        source.write_text(program.source())
        uses_library = "<tapegrad.h>" in program.source()
        command = self.command + (self.precompiled if uses_library else [])
        if program.is_complete:
            command += ["-Wall", "-Wextra", "-Werror"]
        compiled = subprocess.run(command + [str(source), "-o", str(binary)] + (self.link if uses_library else []), capture_output=True, text=True)
        if compiled.returncode:
            raise DocsError(f"{program.place}: does not compile:\n{compiled.stderr}")
        try:
            ran = subprocess.run([str(binary)], cwd=place, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            raise DocsError(f"{program.place}: still running after {TIMEOUT} s") from None
        if ran.returncode:
            raise DocsError(f"{program.place}: exit status {ran.returncode}:\n{ran.stdout}{ran.stderr}")
        return [(block, self.real_text(block, place, ran.stdout)) for block in program.outputs]

    @staticmethod
    def real_text(block, place, stdout):
        if not block.argument:
            return stdout
        file = place / block.argument
        if not file.is_file():
            raise DocsError(f"{block.place}: the program wrote no {block.argument}")
        return file.read_text()


def indented(text):
    return "".join(f"    {line}\n" for line in text.rstrip().splitlines())


def update(root, block, text):
    path = root / block.page
    lines = path.read_text().splitlines()
    length = len(block.text.splitlines())
    lines[block.line : block.line + length] = [line.rstrip() for line in text.rstrip().splitlines()]
    path.write_text("\n".join(lines) + "\n")


def check_programs(programs, options):
    errors, different = [], []
    with tempfile.TemporaryDirectory(prefix="tapegrad_docs_") as name:
        runner = Runner(options, pathlib.Path(name))
        if any("<tapegrad.h>" in program.source() for program in programs):
            runner.precompile()
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            futures = [pool.submit(runner.run, number, program) for number, program in enumerate(programs)]
        for program, future in zip(programs, futures):
            try:
                wrong = [(block, text) for block, text in future.result() if not matches(block.text, text)]
                different += wrong
                for block, text in wrong:
                    errors.append(f"{block.place}: the output differs. Shown:\n{indented(block.text)}  Real:\n{indented(text)}")
                print(f"{program.place}: {'WRONG OUTPUT' if wrong else 'ok'}")
            except DocsError as error:
                print(f"{program.place}: FAILED")
                errors.append(str(error))
    return errors, different


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", help="Markdown files; by default README.md and docs/*.md")
    parser.add_argument("--root", type=pathlib.Path, required=True, help="the folder with tapegrad.h")
    parser.add_argument("--compiler", default="c++")
    parser.add_argument("--library", help="libtapegrad.so or libtapegrad.a")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--update", action="store_true")
    options = parser.parse_args()
    options.root = options.root.resolve()

    pages = [pathlib.Path(page).resolve() for page in options.pages]
    pages = pages or [options.root / "README.md", *sorted((options.root / "docs").glob("*.md"))]
    blocks, errors = [], []
    for page in pages:
        try:
            name = page.relative_to(options.root) if page.is_relative_to(options.root) else page
            blocks += parse(name, page.read_text())
        except (DocsError, OSError) as error:
            errors.append(str(error))
    programs, more = collect(blocks, options.root)
    errors += more
    try:
        more, different = check_programs(programs, options)
        errors += more
    except DocsError as error:
        errors.append(str(error))
        different = []
    if options.update:
        for block, text in reversed(different):  # from the end, so that line numbers stay right
            update(options.root, block, text)
    for error in errors:
        print(f"\n{error}", file=sys.stderr)
    print(f"{len(pages)} pages, {len(blocks)} blocks, {len(programs)} programs, {len(errors)} errors")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
