# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine against QEMU's TCG and the bare host: one kernel, one initial RAM disk, one static program."""
import statistics

from ooh_lab import lockstep
from ooh_lab.common import BUILD, program, progress

from common import APPEND, WORKS, engine, initrd, kernel, listen, medians, ours


def machines(cpio, interpreter):
    """{column: argv}."""
    qemu = [str(program("qemu-system-x86_64", "qemu-system-x86")), "-accel", "tcg", "-cpu", "max", "-m", "1G", "-kernel", str(kernel()), "-initrd",
            str(cpio), "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot", "-device",
            "isa-debug-exit,iobase=0xf4,iosize=4", "-append", APPEND]
    out = {"native": [str(BUILD / "bench/mbench")], "ooh": ours(cpio), "non-root": ours(cpio, append="oohhv"), "qemu-tcg": qemu}
    if interpreter and engine():
        out["interpreter"] = ours(cpio, how=["--engine", lockstep.ENGINES[0]])
    return out


def ratio(a, b):
    return a / b if a and b else None


def cell(v, width, digits):
    return f"{v:{width}.{digits}f}" if v else f"{'-':>{width}}"


def mean(values):
    values = [v for v in values if v]
    return statistics.geometric_mean(values) if values else None


def run(args):
    todo = machines(initrd(), args.interpreter)
    seen = {name: [] for name in todo}
    for n in range(args.runs):
        for name, argv in todo.items():
            progress(f"run {n + 1}/{args.runs}: {name}")
            seen[name].append(listen(argv))
    median = {name: medians(runs) for name, runs in seen.items()}
    heads = [("ooh/qemu", "ooh", "qemu-tcg"), ("ooh/native", "ooh", "native"), ("non-root/root", "non-root", "ooh")]
    print(f"{'CPU seconds':12} {' '.join(f'{n:>11}' for n in todo)} {' '.join(f'{h[0]:>13}' for h in heads)}")
    ratios = {h[0]: [] for h in heads}
    for w in ["boot", *WORKS]:
        g = {name: median[name].get(w) for name in todo}
        row = [ratio(g[a], g[b]) for _, a, b in heads]
        for h, r in zip(heads, row):
            ratios[h[0]].append(r)
        print(f"{w:12} {' '.join(cell(g[n], 11, 3) for n in todo)} {' '.join(cell(r, 13, 2) for r in row)}")
    means = {name: mean(v) for name, v in ratios.items()}
    print(f"{'mean':12} {' '.join(' ' * 11 for _ in todo)} {' '.join(cell(means[h[0]], 13, 2) for h in heads)}")
    print(f"engine: {engine()[-1] if engine() else 'the only one'}; {args.runs} runs, medians; means are geometric; ooh/qemu below 1: faster than QEMU")
    return {"seconds": median, "means": means, "runs": args.runs, "engine": engine()[-1] if engine() else None}
