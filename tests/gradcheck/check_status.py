"""Names on gradcheck's command line: they select ops, an unknown one is exit status 2 with the nearest name."""
import subprocess
import sys


def run(*names):
    result = subprocess.run([sys.argv[1], *names], capture_output=True, text=True)
    return result.returncode, result.stdout, result.stderr


status, out, _ = run("tanh", "relu")
rows = [line.split()[0] for line in out.splitlines()[4:-2]]
assert status == 0 and rows == ["tanh", "relu"], (status, out)
assert "2 of 2 ops passed" in out, out

status, out, error = run("tanh", "matmlu")
assert status == 2 and out == "", (status, out)
assert error == "gradcheck: there is no op `matmlu`; did you mean `matmul`?\n", error

status, _, error = run("something_else")
assert status == 2 and error == "gradcheck: there is no op `something_else`\n", (status, error)
