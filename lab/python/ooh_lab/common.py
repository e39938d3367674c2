# SPDX-License-Identifier: GPL-2.0-or-later
"""What all parts of the lab share: where things are, and how errors end the program."""
import os
import subprocess
import sys
import time
from pathlib import Path

OK, MISMATCH, USAGE, ENVIRONMENT = 0, 1, 2, 3
SOURCE = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("OOH_BUILD", SOURCE / "build"))
LAB = BUILD / "lab"


class LabError(Exception):
    """Ends the program with one line on stderr."""

    def __init__(self, message, code=ENVIRONMENT):
        super().__init__(message)
        self.code = code


def progress(text):
    """One line on stderr: for whatever takes more than two seconds."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def run(argv, **kw):
    """Runs a program; its output is shown only when it fails."""
    r = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw)
    if r.returncode:
        sys.stderr.write(r.stdout)
        raise LabError(f"{argv[0]}: ended with status {r.returncode}")
    return r.stdout


def program(name, package):
    """The path of an installed program; package: what to install when it is missing."""
    for d in os.environ.get("PATH", "").split(":") + ["/usr/sbin", "/sbin"]:
        p = Path(d) / name
        if os.access(p, os.X_OK) and p.is_file():
            return p
    raise LabError(f"{name}: not installed (apt-get install {package})")


class Stopwatch:
    def __init__(self):
        self.begin = time.monotonic()

    def __str__(self):
        return f"{time.monotonic() - self.begin:.1f} s"
