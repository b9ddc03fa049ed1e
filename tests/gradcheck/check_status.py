"""gradcheck's exit status: names on the command line select ops, an unknown one is status 2, a wrong derivative is 1.

Usage: check_status.py GRADCHECK GRADCHECK_WITH_A_WRONG_TANH
"""

import subprocess
import sys

gradcheck, planted = sys.argv[1:]


def run(*command):
    result = subprocess.run(command, capture_output=True, text=True)
    return result.returncode, result.stdout, result.stderr


status, out, _ = run(gradcheck, "tanh", "relu")
rows = [line.split()[0] for line in out.splitlines() if line.endswith("passed") and " of " not in line]
assert status == 0 and rows == ["tanh", "relu"], (status, out)
assert "2 of 2 ops passed" in out, out

status, out, error = run(gradcheck, "tanh", "matmlu")
assert status == 2 and out == "", (status, out)
assert error == "gradcheck: there is no op or layer `matmlu`; did you mean `matmul`?\n", error

status, _, error = run(gradcheck, "something_else")
assert status == 2 and error == "gradcheck: there is no op or layer `something_else`\n", (status, error)

status, out, _ = run(planted, "tanh", "relu")
verdicts = [line.split()[-1] for line in out.splitlines() if line.startswith(("tanh ", "relu "))]
assert status == 1 and verdicts == ["FAILED", "passed"], (status, out)
assert "1 of 2 ops passed" in out, out
