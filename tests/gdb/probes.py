#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/gdb/probes.py LIBRARY PROGRAM - the USDT probes of runtime/trace.h, as TAP.

First what readelf says of the library: a probe of each kind, with two arguments. Then PROGRAM (probes.c) is run
by gdb with a breakpoint on each probe that prints its arguments, and what was printed must tell what the program
did. Needs readelf and gdb, and to be allowed to trace; without, it skips and says so.
"""
import pathlib
import re
import shutil
import subprocess
import sys

from run import commands, gdb

HERE = pathlib.Path(__file__).resolve().parent
HEADER = HERE.parents[1] / 'runtime' / 'trace.h'
POINTS = HERE / 'points.py'


def kinds():
    """What trace.h lists."""
    return re.findall(r'^    X\((\w+), "', HEADER.read_text(encoding='utf-8'), re.MULTILINE)


def notes(library):
    """The probes of a library: {name: [number of arguments, ...]}."""
    said = subprocess.run(['readelf', '-n', '--wide', library], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = {}
    for name, arguments in re.findall(r'Provider: corvid\s+Name: (\w+)\s.*?Arguments:([^\n]*)', said, re.DOTALL):
        found.setdefault(name, []).append(len(arguments.split()))
    return found


def bad_notes(library):
    found = notes(library)
    bad = [f'no probe is called {kind}' for kind in kinds() if kind not in found]
    bad += [f'{name} is not in trace.h' for name in found if name not in kinds()]
    bad += [f'{name} has {count} arguments' for name, counts in found.items() for count in counts if count != 2]
    return bad


def watch(program):
    """What gdb prints when the program runs, a line per probe that was hit."""
    return gdb(*commands('set debuginfod enabled off', f'source {POINTS}', f'python watch({kinds()})', 'run 2>/dev/null'),
               program)


def bad_events(output):
    """What is not as it should be in what was printed."""
    who = re.search(r'first (\d+), subject (\d+)$', output, re.MULTILINE)
    if not who:
        return ['the program did not come to its end']
    first, subject = who.groups()
    events = re.findall(r'^probe (\w+) (-?\d+) (-?\d+)$', output, re.MULTILINE)
    life = ' '.join(kind for kind, coro, _ in events if coro == subject)
    words = {(kind, coro): int(word) for kind, coro, word in events}  # the last of each
    naps = [int(word) for kind, _, word in events if kind == 'sleep']
    stalls = [int(word) for kind, _, word in events if kind == 'stall']
    checks = (
        (re.fullmatch('spawn wake run (yield run )+park wake run end', life), f'the life of the subject: {life}'),
        (words.get(('spawn', subject)) == int(first), 'who started the subject'),
        (words.get(('wake', subject)) == 0, 'the result that the subject was woken with'),
        (('end', first) in words, 'the end of the first coroutine'),
        (any(0 <= nap <= 10_000_000 for nap in naps), f'how long the worker slept: {naps}'),
        (words.get(('awake', '0'), -1) >= 0, 'that it woke up'),
        (max(stalls, default=0) >= 20, f'the stall: {stalls}'),
    )
    return [text for holds, text in checks if not holds]


def tell(number, name, bad, output=''):
    print(f'{"not ok" if bad else "ok"} {number} - {name}')
    for line in [*bad, *(output.split('\n') if bad else [])]:
        print(f'# {line}')


def main():
    library, program = sys.argv[1:]
    print('1..2')
    if shutil.which('readelf'):
        tell(1, 'the library has a probe of each kind', bad_notes(library))
    else:
        print('ok 1 - probes of the library # SKIP readelf is not installed')
    if not shutil.which('gdb'):
        print('ok 2 - probes as they are hit # SKIP gdb is not installed')
        return
    output = watch(program)
    if 'probe run ' not in output and 'ptrace' in output:
        print('ok 2 - probes as they are hit # SKIP gdb cannot run the program')
        return
    tell(2, 'the probes tell what the program did', bad_events(output), output)


if __name__ == '__main__':
    main()
