#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/gdb/run.py PROGRAM - tools/gdb/corvid.py on a process and on its core file, as TAP.

Needs gdb, and to be allowed to trace; without, it skips and says so.
"""
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / 'tools' / 'gdb' / 'corvid.py'
QUESTIONS = ['echo ASKED\\n', 'co list', 'echo ALL\\n', 'co bt all', 'echo NONE\\n']


def gdb(*arguments):
    done = subprocess.run(['gdb', '-q', '-nx', '-batch', *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace',
                          timeout=240, check=False)
    return done.stdout


def commands(*lines):
    return [part for line in lines for part in ('-ex', line)]


def problems(output):
    """What is not as it should be in the answers to QUESTIONS."""
    wanted = [
        r'coroutine 1, running on worker 0$',
        r'coroutine \d+ \(one\), waits for mutex at 0x[0-9a-f]+, which coroutine \d+ holds$',
        r'coroutine \d+ \(two\), waits for mutex at 0x[0-9a-f]+, which coroutine \d+ holds$',
        r'coroutine \d+, waits for channel to receive at 0x[0-9a-f]+$',
        r'^6 coroutines$',
    ]
    found = re.search(r'ASKED\n(.*)ALL\n(.*)NONE', output, re.DOTALL)
    if not found:
        return ['no answers']
    listed, traced = found.groups()
    bad = [line for line in wanted if not re.search(line, listed, re.MULTILINE)]
    for begin, calls in (('(one)', ['co_mutex_lock_always', 'take_both', 'left_first']),
                         ('(two)', ['co_mutex_lock_always', 'take_both', 'right_first']),
                         ('channel', ['co_chan_recv', *['read_deep'] * 4, 'reader'])):
        part = next((p for p in re.split(r'^(?=coroutine )', traced, flags=re.MULTILINE)
                     if begin in p.split('\n')[0]), '')
        seen = re.findall(r'^  #\d+ .*?\b(?:in )?([a-z_0-9]+) \(', part, re.MULTILINE)
        if [call for call in seen if call in calls] != calls:
            bad.append(f'calls of {begin}: {seen}')
    return bad


def die(program, folder):
    """Lets the program die. Returns: its core file, as the kernel writes it, or None."""
    def allow():
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))

    subprocess.run([pathlib.Path(program).resolve()], cwd=folder, stdin=subprocess.DEVNULL,
                   preexec_fn=allow, timeout=60, check=False)
    return next(pathlib.Path(folder).glob('*core*'), None)


def main():
    if not shutil.which('gdb'):
        print('1..0 # SKIP gdb is not installed')
        return
    program = sys.argv[1]
    begin = ['set debuginfod enabled off', f'source {SCRIPT}']
    alive = gdb(*commands(*begin, 'run', *QUESTIONS, 'kill'), program)
    if 'SIGABRT' not in alive:
        print('1..0 # SKIP gdb cannot run the program: ' + alive.strip().split('\n')[-1])
        return
    with tempfile.TemporaryDirectory() as folder:
        core = die(program, folder)
        dead = core and gdb(*commands(*begin, *QUESTIONS), program, str(core))
    print('1..2')
    for n, (name, output) in enumerate((('a process', alive), ('a core file', dead)), 1):
        if output is None:
            print(f'ok {n} - coroutines of {name} # SKIP the kernel writes none here')
            continue
        bad = problems(output)
        print(f'{"not ok" if bad else "ok"} {n} - coroutines of {name}')
        for line in bad:
            print(f'# {line}')
        if bad:
            print('\n'.join('# ' + line for line in output.split('\n')))


if __name__ == '__main__':
    main()
