#!/usr/bin/env python3
"""Compiles models that reflection must refuse and ops without one of their parts, and checks what the compiler says.

usage: tests/compile_fail.py COMPILER ROOT
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


# The parts of a structured op: (how it is written, what the compiler must say without it).
OP_PARTS = {
    "name": (
        "static constexpr const char* name = \"twice\";", "an op needs `static constexpr const char* name`"),
    "doc": (
        "static constexpr const char* doc = \"x + x\";", "an op needs `static constexpr const char* doc`"),
    "Attributes": (
        "using Attributes = NoAttributes;", "an op needs `using Attributes = NoAttributes;` or a struct"),
    "uses": (
        "static constexpr Uses uses = {reads_nothing};", "an op needs `static constexpr Uses uses = {...};`"),
    "shape": (
        "static Shape shape(const Inputs& x, const NoAttributes&) { return x[0].shape(); }",
        "an op needs `static Shape shape(const Inputs&, const Attributes&)`"),
    "forward": (
        "static Tensor forward(const Inputs& x, NoAttributes&, const Shape&) { return x[0].clone(); }",
        "an op needs `static Tensor forward(const Inputs&, Attributes&, const Shape&)`"),
    "vjp": (
        "static void vjp(Walk& walk, const NoAttributes&, const Tensor& g) { walk.give(0, g); }",
        "an op needs `static void vjp(Walk&, const Attributes&, const Tensor& cotangent)`"),
    "samples": (
        "static std::vector<Sample<NoAttributes>> samples() { return {}; }",
        "an op needs `static std::vector<Sample<Attributes>> samples()`"),
}

OP_PRELUDE = """
#include "autograd/op.h"

using namespace tapegrad;
"""

OP_CALL = "Tensor twice(Arg x) { return apply<Twice>({}, x); }\n"
OP_LIST = "std::vector<OpDescription> list() { return describe_ops<Twice>(); }\n"


def op_without(missing):
    """A program with an op that lacks one part, and what the compiler must say."""
    body = "\n".join(text for part, (text, _) in OP_PARTS.items() if part != missing)
    # apply() takes the op's attributes: without them no call comes as far as the check.
    use = OP_LIST if missing == "Attributes" else OP_CALL if missing else OP_CALL + OP_LIST
    return OP_PRELUDE + "struct Twice {\n" + body + "\n};\n" + use, OP_PARTS[missing][1] if missing else None


def compile_case(compiler, root, folder, source):
    path = os.path.join(folder, "case.cpp")
    with open(path, "w", encoding="utf-8") as file:
        file.write(source)
    command = [*compiler, "-std=c++20", "-fsyntax-only", "-I", root, path]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    return result.returncode, result.stderr


def is_our_own(error):
    return "static assertion failed" in error or "static_assert failed" in error


def main():
    compiler, root = sys.argv[1].split(), sys.argv[2]
    # Of a model nothing but our own messages; an op's missing part is also missed by what uses it, after our message.
    cases = [(name, PRELUDE + source + WALK, expected, False) for name, (source, expected) in CASES.items()]
    for part in [None, *OP_PARTS]:
        cases.append((f"an op without {part}" if part else "a whole op compiles", *op_without(part), True))
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, source, expected, others_may_follow in cases:
            code, messages = compile_case(compiler, root, folder, source)
            if expected is None:
                good = code == 0
            else:
                errors = re.findall(r"error: (.*)", messages)
                ours = errors[:1] if others_may_follow else errors
                good = code != 0 and all(is_our_own(e) for e in ours) and expected in "\n".join(ours)
            print(("ok      " if good else "FAILED  ") + name)
            if not good:
                failures += 1
                print("  expected: " + (expected or "no error"))
                print("  " + "\n  ".join(messages.splitlines()[:20]))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
