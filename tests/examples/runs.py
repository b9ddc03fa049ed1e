"""What the checks of the example programs share: running one in a folder of its own."""

import pathlib
import subprocess
import tempfile


class Runs:
    """Runs a program in a temporary folder, which is removed with the object's scope."""

    def __init__(self, program):
        self.program = str(pathlib.Path(program).resolve())
        self.name = pathlib.Path(program).name

    def __enter__(self):
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self._temporary.name)
        return self

    def __exit__(self, *_):
        self._temporary.cleanup()

    def run(self, *arguments):
        """Exit status, standard output, standard error."""
        result = subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True, cwd=self.folder)
        return result.returncode, result.stdout, result.stderr

    def refuses(self, message, *arguments):
        """The program says `message`, and nothing else, with exit status 2."""
        status, out, error = self.run(*arguments)
        assert (status, out, error) == (2, "", f"{self.name}: {message}\n"), (arguments, status, out, error)
