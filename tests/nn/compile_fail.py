#!/usr/bin/env python3
"""Compiles models that reflection must refuse, and checks what the compiler says about each.

usage: tests/nn/compile_fail.py COMPILER ROOT
"""
import os
import re
import subprocess
import sys
import tempfile

PRELUDE = """
#include <functional>
#include <map>
#include <memory>
#include <variant>

#include "nn/dense.h"
#include "optim/sgd.h"

using namespace tapegrad;
using nn::Dense;
"""

WALK = """
std::size_t count(Model& model) { return nn::parameters(model).size(); }
"""

# name: (source, what the message must say; None: it must compile)
CASES = {
    "a plain model compiles": (
        "struct Model { int width = 3; Dense a{width, width}; std::vector<Dense> more; };", None),
    "an opt-out compiles": (
        "struct Model { std::function<int(int)> f; Dense a{1, 1}; };"
        "template <> inline constexpr bool tapegrad::nn::no_parameters<std::function<int(int)>> = true;", None),
    "a base class": (
        "struct Base { Dense a; }; struct Model : Base { Dense b; };",
        "a struct with a base class cannot be found: make the base a member, or write in the struct "
        "`using fields = nn::Fields<&Model::a, &Model::b>;`"),
    "an empty base class": (
        "struct Base {}; struct Model : Base { Dense b{1, 1}; };",
        "a struct with a base class cannot be found: make the base a member"),
    "a constructor": (
        "struct Model { Model() {} Dense b{1, 1}; };",
        "it has constructors, private members or virtual functions. Remove them, or write in it "
        "`using fields = nn::Fields<&Type::weight, &Type::bias>;`"),
    "private members": (
        "class Model { Dense b{1, 1}; };", "it has constructors, private members or virtual functions"),
    "a private layer inside": (
        "class Inner { Dense b{1, 1}; public: int n = 0; }; struct Model { Inner inner; };",
        "it has constructors, private members or virtual functions"),
    "a C array": (
        "struct Model { Dense b[2] = {{1, 1}, {1, 1}}; int n; };",
        "a struct with a C array cannot be found: use std::array, or write in the struct "
        "`using fields = nn::Fields<&Model::a, &Model::b>;`"),
    "a C array between others": (
        "struct Two { Dense a, b; };"
        "struct Model { Dense a; Two two; std::vector<Dense> v; std::optional<Dense> o; Dense b[3]; Dense c; };",
        "a struct with a C array cannot be found"),
    "a C array of one element": (
        "struct Model { Dense b[1] = {{1, 1}}; int n; };", "a model cannot hold a C array: use std::array"),
    "a reference": (
        "struct Model { Dense& b; int n; };",
        "the fields of this struct cannot be counted: it holds a reference"),
    "a const reference": (
        "struct Model { const Dense& b; int n; };", "a model cannot hold a reference: hold the value, or a pointer"),
    "a const layer": (
        "struct Model { const Dense b{1, 1}; int n; };", "a model cannot hold a const layer or parameter"),
    "std::function": (
        "struct Model { std::function<int(int)> f; Dense b{1, 1}; };",
        "`template <> inline constexpr bool tapegrad::nn::no_parameters<Type> = true;`"),
    "std::map": (
        "struct Model { std::map<std::string, Dense> f; Dense b{1, 1}; };",
        "`template <> inline constexpr bool tapegrad::nn::no_parameters<Type> = true;`"),
    "std::variant": (
        "struct Model { std::variant<int, Dense> f; Dense b{1, 1}; };",
        "`template <> inline constexpr bool tapegrad::nn::no_parameters<Type> = true;`"),
    "a lambda that captures": (
        "inline auto lambda = [k = 3](int x) { return x + k; };"
        "struct Model { decltype(lambda) f = lambda; Dense b{1, 1}; };",
        "`template <> inline constexpr bool tapegrad::nn::no_parameters<Type> = true;`"),
    "65 fields": (
        "struct Model { int " + ", ".join(f"a{k}" for k in range(65)) + "; };",
        "a struct of more than 64 fields: group some in a struct"),
    "an optimizer of a const model": (
        "struct Model { Dense a{1, 1}; }; void train(const Model& model) { optim::SGD sgd{model}; }",
        "an optimizer changes the model, which is const here"),
}


def compile_case(compiler, root, folder, source):
    path = os.path.join(folder, "case.cpp")
    with open(path, "w", encoding="utf-8") as file:
        file.write(PRELUDE + source + WALK)
    command = [*compiler, "-std=c++20", "-fsyntax-only", "-I", root, path]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    return result.returncode, result.stderr


def main():
    compiler, root = sys.argv[1].split(), sys.argv[2]
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, (source, expected) in CASES.items():
            code, messages = compile_case(compiler, root, folder, source)
            if expected is None:
                good = code == 0
            else:
                # Nothing but our own messages: no noise of the machinery behind them.
                errors = re.findall(r"error: (.*)", messages)
                good = code != 0 and all("static assertion failed" in e or "static_assert failed" in e for e in errors)
                good = good and expected in messages
            print(("ok      " if good else "FAILED  ") + name)
            if not good:
                failures += 1
                print("  expected: " + (expected or "no error"))
                print("  " + "\n  ".join(messages.splitlines()[:20]))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
