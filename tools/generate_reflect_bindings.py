#!/usr/bin/env python3
"""Writes autograd/reflect_bindings.h: structured bindings for aggregates of 1 to 64 fields.

usage: tools/generate_reflect_bindings.py > autograd/reflect_bindings.h
"""

MOST_FIELDS = 64
WIDTH = 120


def wrapped(start, items, end):
    """`start`, the items separated by commas, `end`; broken into lines of at most WIDTH columns."""
    lines = [start]
    for k, item in enumerate(items):
        last = k + 1 == len(items)
        text = item + ("" if last else ",")
        room = WIDTH - (len(end) if last else 0)
        separator = "" if lines[-1].endswith(("[", "(", "<")) else " "
        if len(lines[-1]) + len(separator) + len(text) > room:
            lines.append("        " + text)
        else:
            lines[-1] += separator + text
    lines[-1] += end
    return lines


def main():
    print("#pragma once")
    print("// Written by tools/generate_reflect_bindings.py; do not edit.")
    print('#include "autograd/tied_fields.h"')
    print()
    print("namespace tapegrad::detail {")
    print()
    print("// clang-format off")
    print("template <std::size_t fields, class T>")
    print("constexpr auto tie_fields_of_plain_struct(T& object) {")
    for n in range(MOST_FIELDS + 1):
        names = [f"f{k}" for k in range(n)]
        if n == 0:
            print("  if constexpr (fields == 0) {")
            print("    return tie_values<>();")
            continue
        print(f"  }} else if constexpr (fields == {n}) {{")
        print("\n".join(wrapped("    auto& [", names, "] = object;")))
        types = [f"decltype({name})" for name in names]
        lines = wrapped("    return tie_values<", types, ">(") + wrapped("       ", names, ");")
        print("\n".join(lines) if n > 4 else lines[0] + lines[1].strip())
    print("  }")
    print("}")
    print("// clang-format on")
    print()
    print("}  // namespace tapegrad::detail")


if __name__ == "__main__":
    main()
