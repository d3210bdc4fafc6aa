#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tests/errno/run.sh LIBRARY FOLDER - errno is right after a coroutine has changed threads, whatever
# compiles it.
#
# Compiles probe.c with gcc and clang, -O2 and -O3, position-independent and not, against the static
# library, runs each, and looks at its object for the function behind glibc's errno. As a control it
# does the same with glibc's errno: if that were never wrong, the probe would show nothing. Writes TAP.
set -u
library=$(realpath "$1")
out=$2
cd "$(dirname "$0")/../.." || exit 2
mkdir -p "$out"

number=0
failed=0
caught=0
flags=(-std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Iruntime/include)
libs=("$library" -luv -linih -lboost_context -lpthread)

tell() { # status of what was tried, what it was
    number=$((number + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $number - $2"
    else
        failed=1
        echo "not ok $number - $2"
    fi
}

check() { # compiler, flags...
    local object=$out/probe.o program=$out/probe pie=-pie
    local said='' status=0

    [ "${*: -1}" = -fno-pic ] && pie=-no-pie
    "$@" "${flags[@]}" -include co/errno.h -c tests/errno/probe.c -o "$object" &&
        "$1" $pie "$object" "${libs[@]}" -o "$program" &&
        said=$("$program")
    status=$?
    if nm -u "$object" | grep -w __errno_location; then
        status=1
    fi
    tell $status "$*: $said"
}

control() {
    local program=$out/control
    local said

    "$@" "${flags[@]}" -DCONTROL tests/errno/probe.c "${libs[@]}" -o "$program" || return
    said=$("$program")
    [ $? -eq 1 ] && caught=$((caught + 1))
    echo "# with glibc's errno, $*: $said"
}

for cc in gcc clang; do
    if ! command -v $cc >/dev/null; then
        echo "ok $((++number)) - $cc # SKIP is not there"
        continue
    fi
    for level in -O2 -O3; do
        check $cc $level -fPIC
        check $cc $level -fPIE
        check $cc $level -fno-pic
        control $cc $level -fPIE
    done
done
[ $caught -gt 0 ]
tell $? "the probe notices glibc's errno, $caught times"
echo "1..$number"
exit $failed
