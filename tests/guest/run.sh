#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# run.sh COMMAND…: runs an image in a machine; success is the exit port's status 1 (code 0). 77: the machine is not there.
command -v "$1" >/dev/null || exit 77
timeout "${GUEST_TIMEOUT:-60}" "$@" </dev/null
status=$?
[ "$status" -eq 1 ] && exit 0
echo "run.sh: exit status $status" >&2
exit 1
