# SPDX-License-Identifier: GPL-2.0-or-later
"""What a job in the guest says about its tests."""
import re

TAP = re.compile(r"^(not )?ok\b[ \t]*\d*[ \t]*-?[ \t]*(.*?)(?:[ \t]*#[ \t]*SKIP\b[ \t]*(.*))?$", re.M)


def results(name, job, status, seconds):
    """The rows (name, verdict, seconds, remark) of one job: its TAP lines, or its exit status alone."""
    text = job.output.read_text(errors="replace").replace("\r", "") if job.output.exists() else ""
    rows = []
    for bad, what, skip in TAP.findall(text):
        rows.append((f"{name}: {what}"[:100], "skip" if skip else "FAIL" if bad else "ok", 0.0, skip))
    if status or not rows:
        tail = "" if status == 0 else f"status {status}; output: {job.output}; console: {job.console}"
        rows.append((name, "FAIL" if status else "ok", seconds, tail))
    return rows
