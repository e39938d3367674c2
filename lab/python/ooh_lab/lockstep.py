# SPDX-License-Identifier: GPL-2.0-or-later
"""Two runs of the machine side by side, compared by their digests; a difference is narrowed down to one instruction.

The sides are the two engines of one machine, or two machines. Where their digests differ first, the runs
are repeated with --max-cycles at the middle of the interval until it holds one instruction."""
import filecmp
import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from .common import BUILD, LabError, progress

MACHINE = BUILD / "machine" / "ooh-machine"
EVERY = 1_000_000
ENGINES = ("interpret", "translate")


def engines(machine=MACHINE):
    """The engines this machine has; without the option there is one, and it has no name."""
    usage = subprocess.run([str(machine), "--help"], capture_output=True, text=True).stdout
    return ENGINES if "--engine" in usage else ("",)


@dataclass
class Side:
    name: str
    argv: list  # the program, and what only this side gets


@dataclass
class Result:
    same: bool
    text: str = ""
    points: int = 0
    cycle: int = 0  # of the end, or of the first difference
    status: int = 0
    records: list = field(default_factory=list)  # names of what differs


def sides(machines=(MACHINE,), names=None):
    """Two sides: two engines of one machine (named, or all it has), or two machines with the same engine."""
    names = list(names or (engines(machines[0]) if len(machines) == 1 else ("",)))
    pairs = [(str(m), n) for m in machines for n in names]
    pairs = pairs * 2 if len(pairs) == 1 else pairs[:2]
    out = []
    for i, (m, n) in enumerate(pairs):
        name = n or Path(m).name
        out.append(Side(name if pairs[0] != pairs[1] else f"{name}-{i + 1}", [m, *(["--engine", n] if n else [])]))
    return out


class Run:
    """One side, running. `{}` in an argument is the side's own directory."""

    def __init__(self, side, args, where, extra):
        self.dir = Path(where) / side.name
        self.dir.mkdir(parents=True, exist_ok=True)
        self.side = side
        r, w = os.pipe()
        argv = [*side.argv, *[str(a).replace("{}", str(self.dir)) for a in args], "--digest", f"/dev/fd/{w}", *extra]
        with open(self.dir / "stderr", "wb") as err:
            self.process = subprocess.Popen(argv, pass_fds=[w], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err)
        os.close(w)
        self.lines = os.fdopen(r, "r")
        self.end, self.records = None, []

    def next(self):
        """The next point as (cycle, rest of its line); None at the end, which is then known."""
        line = self.lines.readline()
        if line.startswith("end "):
            self.end = line.split()
            self.records = [x.split(None, 2)[2].rstrip("\n") for x in self.lines]
            return None
        return (int(line.split()[0]), line) if line.endswith("\n") else None

    def wait(self):
        return self.process.wait()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.lines.close()

    def stderr(self):
        return (self.dir / "stderr").read_text(errors="replace")


def points(every):
    """The machine's options. every: a number of cycles; negative: exact points; 0: none."""
    return ["--digest-every", str(abs(every)), *(["--digest-exact"] if every < 0 else [])] if every else []


def outputs_differ(a, b):
    """Names of files that the two sides wrote differently, snapshots included."""
    names = {str(p.relative_to(r.dir)) for r in (a, b) for p in r.dir.rglob("*") if p.is_file() and p.name not in ("stderr", "stats.json")}
    return sorted(n for n in names if not ((a.dir / n).exists() and (b.dir / n).exists() and filecmp.cmp(a.dir / n, b.dir / n, shallow=False)))


def record_differences(a, b):
    out = []
    for x, y in zip(a.records, b.records):
        if x != y:
            out.append(f"    {x.split()[0]:16} {a.side.name}: {x.split()[1]}  {b.side.name}: {y.split()[1]}")
    if len(a.records) != len(b.records):
        out.append("    another number of records")
    if a.end and b.end and a.end[4] != b.end[4]:
        out.append("    RAM")
    return out


def until(pair, args, where, every, cycle, extra=()):
    """Both sides, up to a cycle."""
    runs = [Run(s, args, where, [*points(every), "--max-cycles", str(cycle), *extra]) for s in pair]
    for r in runs:
        while r.next():
            pass
        r.wait()
    return runs


def alike(runs):
    a, b = runs
    return a.end == b.end and a.records == b.records and a.process.returncode == b.process.returncode


def undisturbed(args, every, where):
    """Do digest points change nothing? Two runs of one side, with points and without, compared at their ends."""
    runs = [Run(Side(name, sides()[0].argv), args, where, points(n)) for name, n in (("points", every), ("none", 0))]
    for r in runs:
        while r.next():
            pass
        r.wait()
    return Result(alike(runs), "\n".join(record_differences(*runs)), cycle=int(runs[0].end[1]) if runs[0].end else 0)


def narrow(pair, args, where, every, low, high):
    """(low, high): the states at cycle low are alike, at high they are not, and one instruction ends between them."""
    while high - low > 1:
        middle = (low + high) // 2
        a, b = runs = until(pair, args, where, every, middle)
        if not alike(runs):
            high = middle
        else:
            low = max(middle, min(int(a.end[1]), high - 1)) if a.end else middle
    return low, high


def explain(pair, args, where, every, low, high):
    progress(f"a difference between cycles {low} and {high}: looking for the instruction")
    low, high = narrow(pair, args, where, every, low, high)
    a, b = runs = until(pair, args, where, every, high, ["--dump-on-exit"])
    if alike(runs):
        return high, [], f"the sides differ by cycle {high}, but no longer when they are run again"
    differing = record_differences(a, b)
    text = [f"first difference at cycle {high} (alike at {low}):", *differing]
    for r in runs:
        text += [f"  {r.side.name}: status {r.process.returncode}", *["  " + x for x in r.stderr().splitlines()[:40]]]
    # What the first side executed on its way there; the last line is the instruction.
    t = until([pair[0]], args, where, every, high, ["--trace-insn", str(max(0, low - 400))])[0]
    lines = [x for x in t.stderr().splitlines() if not x.startswith("ooh-machine:")]
    text += [f"  instructions that led there ({pair[0].name}):", *["    " + x for x in lines[-20:]]]
    return high, [d.split()[0] for d in differing], "\n".join(text)


def compare(args, pair=None, every=EVERY, where=None):
    """Runs both sides with these arguments of the machine. A Result; its text explains a difference."""
    pair = pair or sides()
    where = where or tempfile.mkdtemp(prefix="lockstep-", dir=BUILD)
    a, b = runs = [Run(s, args, where, points(every)) for s in pair]
    last, n = 0, 0
    try:
        while True:
            x, y = a.next(), b.next()
            if x is None or x != y:
                break
            last, n = x[0], n + 1
        if x is None and y is None:
            status = [r.wait() for r in runs]
            differ = outputs_differ(a, b)
            if alike(runs) and a.end and not differ:
                return Result(True, points=n, cycle=int(a.end[1]), status=status[0])
            if not a.end or not b.end:
                text = "".join(f"  {r.side.name}: status {r.process.returncode}; {r.stderr()[-2000:]}\n" for r in runs)
                return Result(False, f"a side ended without its digest, after cycle {last}\n{text}", n, last)
            if alike(runs):
                return Result(False, f"output differs: {', '.join(differ)} in {where}", n, last)
        ends = [v[0] if v else int(r.end[1]) if r.end else last + abs(every) for v, r in ((x, a), (y, b))]
    finally:
        for r in runs:
            r.kill()
    high, records, text = explain(pair, args, where, every, last, max(*ends, last + 1))
    return Result(False, text, n, high, records=records)


def main(argv):
    import argparse
    p = argparse.ArgumentParser(prog="tests/lockstep", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                epilog="Example: tests/lockstep --every 100000 -- --kernel test.img --serial file:{}/serial. `{}` is a "
                                "directory of the side's own. Exit codes: 0 alike, 1 a difference, 2 usage, 3 environment.")
    p.add_argument("--machine", action="append", metavar="FILE", help="the machine; twice: two machines (default: this build's)")
    p.add_argument("--engine", action="append", metavar="NAME", help="an engine of it; twice: two engines (default: all it has)")
    p.add_argument("--every", type=int, default=EVERY, metavar="CYCLES", help=f"distance of the points (default {EVERY}); 0: the end alone")
    p.add_argument("--exact", action="store_true", help="the points are exact (one CPU)")
    p.add_argument("--expect", metavar="RECORD", help="success is a difference in this record (a test of this tool)")
    p.add_argument("args", nargs=argparse.REMAINDER, metavar="-- the machine's arguments")
    args = p.parse_args(argv)
    rest = args.args[1:] if args.args[:1] == ["--"] else args.args
    if not rest:
        p.error("give the machine's arguments after --")
    try:
        BUILD.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="lockstep-", dir=BUILD) as where:
            r = compare(rest, sides(args.machine or (MACHINE,), args.engine), -args.every if args.exact else args.every, where)
    except LabError as e:
        print(f"lockstep: {e}")
        return e.code
    if r.same:
        print(f"alike at {r.points} points and at the end, cycle {r.cycle} (status {r.status})")
    else:
        print(r.text)
    if args.expect:
        return 0 if not r.same and args.expect in r.records and "instructions that led there" in r.text else 1
    return 0 if r.same else 1
