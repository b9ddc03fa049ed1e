#!/usr/bin/env python3
"""Checks docs/tape-tests.md: every row says how its item is covered, and the tests that it names exist, run and pass.

usage: check_tape_table.py TABLE PROGRAM...

A row is covered by tests, written `test_file.cpp`: "name of the test", or it begins with "later:" or "does not apply:".
The programs are Catch2 ones (version 2 or 3); their tests tagged [tape] are run.
"""
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as xml

NAMED_TEST = re.compile(r'`(test_\w+\.cpp)`: "([^"]+)"')
SKIPPED = 77  # the machine lacks the instruction set


def rows_of(text):
    """The cells of every row of every table, without heads."""
    rows = []
    in_table = False
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("|"):
            in_table = False
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        is_head = not in_table or set(line) <= set("|- ")
        in_table = True
        if not is_head:
            rows.append((number, cells))
    return rows


def results_of(program):
    """(file, test) -> whether it ran and passed; None when the program cannot run on this machine."""
    run = subprocess.run([program, "[tape]~[.]", "-r", "xml"], stdout=subprocess.PIPE, check=False)
    if run.returncode == SKIPPED:
        return None
    results = {}
    try:
        report = xml.fromstring(run.stdout)
    except xml.ParseError:
        print(f"{program} ended with status {run.returncode} and left no report")
        return results
    for case in report.iter("TestCase"):
        outcome = case.find("OverallResult")
        passed = outcome is not None and outcome.get("success") == "true" and outcome.get("skips", "0") == "0"
        results[os.path.basename(case.get("filename")), case.get("name")] = passed
    return results


def check(table, results):
    """The complaints about a table."""
    complaints = []
    rows = rows_of(table)
    if not rows:
        return ["the table is empty"]
    named = set()
    for number, cells in rows:
        if len(cells) != 2 or not cells[0]:
            complaints.append(f"line {number}: not an item and how it is covered")
            continue
        tests = NAMED_TEST.findall(cells[1])
        if not tests and not cells[1].startswith(("later: ", "does not apply: ")):
            complaints.append(f"line {number}: no test, no \"later: ...\", no \"does not apply: ...\"")
        for test in tests:
            named.add(test)
            if test not in results:
                complaints.append(f"line {number}: {test[0]} has no test \"{test[1]}\", or it did not run")
            elif not results[test]:
                complaints.append(f"line {number}: {test[0]}: \"{test[1]}\" failed or was skipped")
    for test in sorted(set(results) - named):
        complaints.append(f"{test[0]}: \"{test[1]}\" is in no row")
    return complaints


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    results = {}
    for program in sys.argv[2:]:
        found = results_of(program)
        if found is None:
            sys.exit(SKIPPED)
        results.update(found)
    with open(sys.argv[1], encoding="utf-8") as file:
        complaints = check(file.read(), results)
    for complaint in complaints:
        print(complaint)
    print(f"{sum(results.values())} of {len(results)} tests passed, {len(complaints)} complaints")
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
