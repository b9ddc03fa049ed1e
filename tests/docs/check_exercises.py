#!/usr/bin/env python3
"""The exercises of docs/exercises.md.

Without options: every patch applies to this tree, and each exercise has its patch and its section on the page. (While one
is planted, its own patch need not apply.)
--red [N ...]: each exercise really turns its check red. Copies the tree to a temporary folder, builds it there, and with
tools/exercise plants, checks and takes out one exercise after the other; the checks must be green before and after.
Needs some minutes. --setup gives options to `meson setup`, --keep FOLDER a folder that is used again.
"""

import argparse
import importlib.machinery
import importlib.util
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def load_tool(root):
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader("exercise", str(root / "tools" / "exercise"))
    spec = importlib.util.spec_from_loader("exercise", loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules["exercise"] = module
    loader.exec_module(module)
    return module


def faults_of_patches(tool):
    """What is wrong with the patches and the page, one line each."""
    faults = []
    patches = sorted(path.stem for path in (ROOT / "docs" / "exercises").glob("*.patch"))
    names = [exercise.name for exercise in tool.EXERCISES]
    if patches != names:
        faults.append(f"docs/exercises holds {patches}, tools/exercise knows {names}")
    sections = re.findall(r"^## (\d+)\. (.*)$", (ROOT / "docs" / "exercises.md").read_text(), re.MULTILINE)
    wanted = [(str(exercise.number), exercise.title) for exercise in tool.EXERCISES]
    if sections != wanted:
        faults.append(f"docs/exercises.md has the sections {sections}, tools/exercise knows {wanted}")
    for exercise in tool.EXERCISES:
        if exercise.name not in patches or exercise.is_planted:
            continue
        done = tool.git("apply", "--check", str(exercise.patch))
        if done.returncode:
            faults.append(f"{exercise.patch.name} does not apply:\n{done.stderr}")
    return faults


def copy_tree(folder):
    """The tree without its build directories, which are not part of the sources."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                            capture_output=True, text=True)
    if listed.returncode:
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns("build*", ".git"))
        return
    for name in listed.stdout.splitlines():
        if not (ROOT / name).is_file():
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)


def run_tool(tree, build, command, number):
    done = subprocess.run([sys.executable, str(tree / "tools" / "exercise"), command, str(number), "--build", str(build)],
                          capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def red_faults(folder, numbers, setup):
    tree, build = folder / ROOT.name, folder / "build"  # under its own name: ccache then knows the files
    shutil.rmtree(tree, ignore_errors=True)
    copy_tree(tree)
    tool = load_tool(tree)
    if not (build / "build.ninja").exists():
        subprocess.run(["meson", "setup", str(build), str(tree), "-Dbenchmarks=false", "-Dexamples=false",
                        *shlex.split(setup)], check=True)
    chosen = [e for e in tool.EXERCISES if not numbers or e.number in numbers]
    faults = []

    def expect(exercise, command, status, when):
        got, output = run_tool(tree, build, command, exercise.number)
        print(f"{exercise.name}: {command} {when}: exit status {got}", flush=True)
        if got != status:
            faults.append(f"{exercise.name}: {command} {when}: exit status {got} instead of {status}:\n{output}")
        elif status:
            print("".join(f"    {line}\n" for line in output.splitlines()[-12:]), flush=True)

    for exercise in chosen:
        expect(exercise, "check", 0, "before")
    for exercise in chosen:
        expect(exercise, "start", 0, "")
        expect(exercise, "check", 1, "planted")
        expect(exercise, "solution", 0, "")
    for exercise in chosen:
        expect(exercise, "check", 0, "after")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--red", nargs="*", type=int, metavar="N")
    parser.add_argument("--setup", default="")
    parser.add_argument("--keep", type=pathlib.Path)
    options = parser.parse_args()
    if not shutil.which("git"):
        print("git is missing")
        return 77
    faults = faults_of_patches(load_tool(ROOT))
    if options.red is not None and not faults:
        with tempfile.TemporaryDirectory(prefix="tapegrad_exercises_") as name:
            faults = red_faults(options.keep.resolve() if options.keep else pathlib.Path(name), options.red, options.setup)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
