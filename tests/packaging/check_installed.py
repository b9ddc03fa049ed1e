#!/usr/bin/env python3
"""Installs a finished build into a scratch folder and uses what is there as other projects would.

usage: check_installed.py BUILD SOURCE COMPILER

Prints PASS, SKIP or FAIL for every check, and why; exit status 1 when one fails. Nothing of the library is compiled.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
# namespace tapegrad without tapegrad::kernels, as the linker names it.
EXPORTED = re.compile(r"_Z(T[ISV]|Z|GVZ?)?N[KOR]*8tapegrad(?!7kernels)")
MOST_THREAD_LOCAL = 256  # bytes


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


class Installed:
    """The installed tree, and how commands are run that use it."""

    def __init__(self, options, folder):
        self.source, self.folder = options.source.resolve(), folder
        self.root = folder / "installed"
        self.environment = dict(os.environ)
        self.run(["meson", "install", "-C", options.build.resolve(), "--no-rebuild", "--quiet", "--destdir", self.root])
        self.package = self.one("pkgconfig/tapegrad.pc")
        self.libraries = self.package.parent.parent
        self.headers = self.one("tapegrad/tapegrad.h").parent
        tools = folder / "tools"
        tools.mkdir()
        compiler = tools / "c++"
        # By full paths: else a compiler of this very name would be the script itself.
        words = [shutil.which(word) or word for word in shlex.split(options.compiler)]
        compiler.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        compiler.chmod(0o755)
        self.environment |= {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "CXX": str(compiler),
            "PKG_CONFIG_PATH": str(self.package.parent),
            "PKG_CONFIG_SYSROOT_DIR": str(self.root),
            "LD_LIBRARY_PATH": str(self.libraries),
        }

    def one(self, pattern):
        found = list(self.root.rglob(pattern))
        if len(found) != 1:
            raise Failed(f"{len(found)} files {pattern} are installed, not 1")
        return found[0]

    def run(self, command, where=None):
        """Runs a command; returns its standard output."""
        command = [str(word) for word in command]
        done = subprocess.run(command, cwd=where, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def project(self, name, *files):
        """A folder with main.cpp and the files."""
        folder = self.folder / name
        folder.mkdir()
        for file in ("main.cpp", *files):
            shutil.copy(HERE / file, folder)
        return folder

    def need(self, *programs):
        for program in programs:
            if shutil.which(program, path=self.environment["PATH"]) is None:
                raise Skipped(f"there is no {program}")

    def need_library(self, name):
        if not (self.libraries / name).exists():
            raise Skipped(f"this build has no {name}")


def pkg_config(installed):
    installed.need("pkg-config")
    folder = installed.project("pkg-config", "pkg-config/build.sh")
    installed.run(["sh", "-e", "build.sh"], folder)
    installed.run(["./consumer"], folder)


def pkg_config_static(installed):
    installed.need("pkg-config")
    installed.need_library("libtapegrad.a")
    folder = installed.project("pkg-config-static", "pkg-config/build_static.sh")
    installed.run(["sh", "-e", "build_static.sh"], folder)
    installed.run(["env", "-u", "LD_LIBRARY_PATH", "./consumer"], folder)


def cmake(installed):
    installed.need("cmake", "ninja")
    folder = installed.project("cmake", "cmake/CMakeLists.txt")
    # Not by CMAKE_PREFIX_PATH: not every system's CMake looks into the folder that Meson chose there, such as lib64.
    package = installed.one("tapegrad-config.cmake").parent
    installed.run(["cmake", "-G", "Ninja", "-B", "build", f"-Dtapegrad_DIR={package}", "."], folder)
    installed.run(["cmake", "--build", "build"], folder)
    installed.run(["build/consumer"], folder)
    if (installed.libraries / "libtapegrad.a").exists():
        installed.run(["env", "-u", "LD_LIBRARY_PATH", "build/consumer_static"], folder)


def cmake_versions(installed):
    """What find_package accepts: versions that this one replaces."""
    installed.need("cmake")
    version = re.search(r"^Version: (\d+)\.(\d+)\.(\d+)", installed.package.read_text(), re.M)
    major, minor, patch = map(int, version.groups())
    accepted = [f"{major}.{minor}", f"{major}.{minor}.{patch}"]
    refused = [f"{major}.{minor}.{patch + 1}", f"{major}.{minor + 1}", f"{major + 1}"]
    if major == 0 and minor > 0:
        refused.append(f"0.{minor - 1}")
    folder = installed.folder / "cmake-versions"
    folder.mkdir()
    lines = []
    for asked in accepted + refused:
        wanted = "TRUE" if asked in accepted else "FALSE"
        lines.append(f'set(PACKAGE_FIND_VERSION "{asked}")')
        lines.append(f'include("{installed.one("tapegrad-config-version.cmake")}")')
        lines.append(f"if(NOT PACKAGE_VERSION_COMPATIBLE STREQUAL {wanted})")
        lines.append(f'  message(SEND_ERROR "{asked}: compatible is ${{PACKAGE_VERSION_COMPATIBLE}}")')
        lines.append("endif()")
    (folder / "versions.cmake").write_text("\n".join(lines) + "\n")
    installed.run(["cmake", "-P", "versions.cmake"], folder)


def meson(installed):
    folder = installed.project("meson", "meson/meson.build")
    installed.run(["meson", "setup", "build", "."], folder)
    installed.run(["meson", "compile", "-C", "build"], folder)
    installed.run(["build/consumer"], folder)


def loaded_at_run_time(installed):
    """A shared object that uses the library, linked once with each kind of it, is loaded and dropped twice."""
    installed.need("pkg-config")
    folder = installed.project("load", "load.cpp")
    commands = ["c++ -std=c++20 -fPIC -c main.cpp $(pkg-config --cflags tapegrad)", "c++ load.cpp -o load -ldl"]
    if (installed.libraries / "libtapegrad.so").exists():
        commands += ["c++ -shared main.o -o shared.so $(pkg-config --libs tapegrad)", "./load ./shared.so"]
    if (installed.libraries / "libtapegrad.a").exists():
        commands += [
            "c++ -shared main.o -o static.so -Wl,-Bstatic $(pkg-config --static --libs tapegrad) -Wl,-Bdynamic",
            "./load ./static.so",
        ]
    for command in commands:
        installed.run(["sh", "-c", command], folder)


def headers_are_what_is_included(installed):
    """The installed headers are tapegrad.h and what it includes; xsimd is not among that."""
    words = installed.run(["c++", "-std=c++20", "-M", "-I", installed.headers, installed.headers / "tapegrad.h"])
    included = {pathlib.Path(word).resolve() for word in words.split()[1:] if word != "\\"}
    present = {path.resolve() for path in installed.headers.rglob("*.h")}
    superfluous = sorted(str(path.relative_to(installed.headers)) for path in present - included)
    if superfluous:
        raise Failed(f"installed, but not included by tapegrad.h: {' '.join(superfluous)}")
    foreign = sorted(str(path) for path in included if "xsimd" in path.parts)
    if foreign:
        raise Failed(f"tapegrad.h includes {' '.join(foreign)}")


def headers_stand_alone(installed):
    """Each header compiles on its own. Its .cpp file has shown that already when it includes it first."""

    def is_compiled_first(header):
        source = (installed.source / header).with_suffix(".cpp")
        if not source.exists():
            return False
        includes = re.findall(r'^#include ["<](.*)[">]', source.read_text(), re.M)
        return includes[:1] == [str(header)]

    headers = [path.relative_to(installed.headers) for path in installed.headers.rglob("*.h")]
    errors = []
    for header in sorted(header for header in headers if not is_compiled_first(header)):
        try:
            options = ["-std=c++20", "-fsyntax-only", "-I", installed.headers, "-include", header]
            installed.run(["c++", *options, "-x", "c++", "/dev/null"], installed.folder)
        except Failed as error:
            errors.append(str(error))
    if errors:
        raise Failed("\n".join(errors))


def exports(installed):
    """The shared library exports namespace tapegrad without the kernels, and has a name with a version."""
    installed.need("nm", "readelf")
    installed.need_library("libtapegrad.so")
    library = installed.libraries / "libtapegrad.so"
    names = [line.split()[0] for line in installed.run(["nm", "-D", "--defined-only", "-P", library]).splitlines()]
    if len(names) < 100:
        raise Failed(f"{library} exports {len(names)} names only")
    others = [name for name in names if not EXPORTED.match(name)]
    if others:
        raise Failed(f"exported: {' '.join(others)}")
    if not re.search(r"SONAME.*\[libtapegrad\.so\.\d+(\.\d+)?\]", installed.run(["readelf", "-d", library])):
        raise Failed(f"{library} has no name with a version")


def thread_local_memory(installed):
    """The shared library takes little of the memory that a program keeps for what is loaded late (docs/design.md)."""
    installed.need("readelf")
    installed.need_library("libtapegrad.so")
    segments = installed.run(["readelf", "-lW", installed.libraries / "libtapegrad.so"])
    # Type, offset, two addresses, size in the file, size in memory.
    found = re.search(r"^\s*TLS\s+\S+\s+\S+\s+\S+\s+\S+\s+(0x[0-9a-f]+)", segments, re.MULTILINE)
    size = int(found[1], 16) if found else 0
    if not 0 < size <= MOST_THREAD_LOCAL:
        raise Failed(f"{size} bytes of thread-local memory; at most {MOST_THREAD_LOCAL}, and some")


CHECKS = {
    "headers stand alone": headers_stand_alone,
    "CMake": cmake,
    "pkg-config": pkg_config,
    "pkg-config, static library": pkg_config_static,
    "Meson, installed library": meson,
    "dlopen": loaded_at_run_time,
    "headers are what tapegrad.h includes": headers_are_what_is_included,
    "CMake, versions": cmake_versions,
    "exported symbols": exports,
    "thread-local memory": thread_local_memory,
}


def outcome(check, installed):
    try:
        check(installed)
        return "PASS", ""
    except Skipped as skipped:
        return "SKIP", str(skipped)
    except Failed as failed:
        return "FAIL", str(failed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("compiler")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tapegrad_packaging_") as folder:
        installed = Installed(options, pathlib.Path(folder).resolve())
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(lambda check: outcome(check, installed), CHECKS.values()))
    for name, (result, why) in zip(CHECKS, outcomes):
        print(f"{result} {name}" + (f": {why}" if why else ""))
    return 1 if any(result == "FAIL" for result, _ in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
