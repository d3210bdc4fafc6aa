#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/stress/planted.py FOLDER [SEEDS] - are bugs found that were planted on purpose?

Copies the sources to FOLDER and builds the stress programs there. Then each bug below is put into the copy by
itself; the programs run with seeds of CO_CHAOS, and once as often without; a failure, a crash or a hang counts as
found. Prints in how many runs each was. Fails if a bug is not found under any seed, or if the programs find
something in the sources as they are.
"""
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HANGS = 25  # seconds; a run takes one or two

PROGRAMS = {'sync': ['1', '60', '4'], 'migrate': ['1', '60', '4'], 'scarce': ['1', '40', '4']}

# Name, what is wrong, who should notice, file, and what stands there: before, after.
BUGS = [
    ('lost-wakeup', 'a parker does not look whether it was woken while it was being saved', ['sync'],
     'runtime/park.c',
     'if (atomic_fetch_or_explicit(&co->word, CO__SAVED, memory_order_acq_rel) & CO__FIRED)\n        co__ready(co);',
     '(void)atomic_fetch_or_explicit(&co->word, CO__SAVED, memory_order_acq_rel);'),
    ('double-wake', 'a claim is a load and a store instead of one step: two may win', ['sync'],
     'runtime/park.c',
     '''    } while (!atomic_compare_exchange_weak_explicit(&co->word, &word, word | CO__CLAIMED,
                                                    memory_order_acq_rel, memory_order_acquire));''',
     '''        atomic_store_explicit(&co->word, word | CO__CLAIMED, memory_order_release);
    } while (0);'''),
    ('missing-recheck', 'who is about to wait for a socket does not look whether an event has come meanwhile',
     ['migrate'], 'runtime/source.c',
     'if ((word & CO__SOURCE_STATE) == CO__SOURCE_READY || (word & wait->refuse))', 'if (word & wait->refuse)'),
    ('short-write', 'after a write in part the rest begins one byte too early', ['migrate'], 'netio/sock.c',
     'send_some(slot, buf + done, len - done)', 'send_some(slot, buf + done - (done > 0), len - done)'),
    ('short-writev', 'after a write in part of several pieces the rest begins one byte too early', ['migrate'],
     'netio/sock.c',
     'msg->msg_iov->iov_base = (char *)msg->msg_iov->iov_base + n;',
     'msg->msg_iov->iov_base = (char *)msg->msg_iov->iov_base + n - 1;'),
    ('kept-member', 'a member that could not be started for want of memory stays in its group', ['scarce'],
     'runtime/group.c', 'leave(member, 0);', '(void)leave;'),
]


def copy(folder):
    names = subprocess.run(['git', 'ls-files', '-co', '--exclude-standard'], cwd=ROOT, capture_output=True, text=True,
                           check=True).stdout.split('\n')
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
            shutil.copymode(ROOT / name, folder / name)
    subprocess.run(['meson', 'setup', '--buildtype=debug', '-Doptimization=1', '-Dtests=enabled', 'build'], cwd=folder,
                   stdout=subprocess.DEVNULL, check=True)


def build(folder):
    done = subprocess.run(['ninja', '-C', 'build', '-j', os.environ.get('JOBS', '2')] +
                          [f'tests/stress_{program}' for program in PROGRAMS], cwd=folder, capture_output=True,
                          text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stdout)


def finds(folder, program, seed):
    """Whether a run of the program goes wrong; seed 0: without chaos."""
    environment = {k: v for k, v in os.environ.items() if k != 'CO_CHAOS'}
    if seed:
        environment['CO_CHAOS'] = f'{seed},fail' if program == 'scarce' else str(seed)
    with subprocess.Popen([f'{folder}/build/tests/stress_{program}', *PROGRAMS[program]], env=environment,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            return process.wait(HANGS) != 0
        except subprocess.TimeoutExpired:
            process.kill()
            return True


def times(folder, programs, seeds):
    return sum(any(finds(folder, program, seed) for program in programs) for seed in seeds)


def main():
    folder = pathlib.Path(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    seeds, bad = range(1, count + 1), False
    shutil.rmtree(folder, ignore_errors=True)
    copy(folder)
    build(folder)
    found = times(folder, PROGRAMS, seeds)
    print(f'{"as it is":16} {found} of {count} with chaos', flush=True)
    bad |= found > 0
    for name, what, programs, path, before, after in BUGS:
        text = (ROOT / path).read_text(encoding='utf-8')
        if text.count(before) != 1:
            print(f'{name:16} does not apply to {path} any more')
            bad = True
            continue
        (folder / path).write_text(text.replace(before, after), encoding='utf-8')
        build(folder)
        found, plain = times(folder, programs, seeds), times(folder, programs, [0] * count)
        print(f'{name:16} {found} of {count} with chaos, {plain} of {count} without: {what}', flush=True)
        bad |= found == 0
        (folder / path).write_text(text, encoding='utf-8')
    return bad


if __name__ == '__main__':
    sys.exit(main())
