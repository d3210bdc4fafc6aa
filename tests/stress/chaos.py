#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/stress/chaos.py FOLDER [SECONDS] - the stress programs in FOLDER with one seed of CO_CHAOS after the
other, until every fault point has acted 1,000 times; prints how often each has in which program. Fails if a
program does, or if twenty seeds are not enough. The programs are a debug or sanitizer build's."""
import os
import re
import subprocess
import sys

ENOUGH = 1000
SEEDS = range(1, 21)
# Program: its arguments behind the seconds, and whether calls may fail.
PROGRAMS = {'sync': (['200', '4'], False), 'migrate': (['100', '4'], False), 'mixed': (['{seed}', '200', '6'], False),
            'scarce': (['100', '4'], True)}


def run(folder, program, seconds, seed):
    """Runs a program. Returns: how often each point acted; None if it failed."""
    arguments, may_fail = PROGRAMS[program]
    environment = dict(os.environ, CO_CHAOS=f'{seed},fail' if may_fail else str(seed))
    command = [f'{folder}/stress_{program}', str(seconds)] + [a.format(seed=seed) for a in arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    told = re.search(r'^corvid: chaos:((?: \w+ \d+)+)$', done.stderr, re.MULTILINE)
    if done.returncode != 0 or not told:
        print(f'{program}, seed {seed}: FAILED, status {done.returncode}\n{done.stdout}{done.stderr}')
        return None
    words = told.group(1).split()
    return dict(zip(words[::2], map(int, words[1::2])))


def show(counts, seeds):
    points = list(next(iter(counts.values())))
    print(f'seeds 1 to {seeds}')
    print(f'{"point":8}' + ''.join(f'{program:>12}' for program in counts) + f'{"all":>12}')
    for point in points:
        row = [counts[program][point] for program in counts]
        print(f'{point:8}' + ''.join(f'{n:12,}' for n in row) + f'{sum(row):12,}')
    return [point for point in points if sum(counts[program][point] for program in counts) < ENOUGH]


def main():
    folder = sys.argv[1]
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    counts = {}
    for seed in SEEDS:
        for program in PROGRAMS:
            hits = run(folder, program, seconds, seed)
            if hits is None:
                return 1
            before = counts.setdefault(program, dict.fromkeys(hits, 0))
            for point, n in hits.items():
                before[point] += n
        # At least three seeds, whatever the counts.
        if seed >= 3 and all(sum(counts[p][point] for p in counts) >= ENOUGH for point in before):
            break
    missing = show(counts, seed)
    print(f'every point acted at least {ENOUGH:,} times' if not missing else f'too rarely: {", ".join(missing)}')
    return bool(missing)


if __name__ == '__main__':
    sys.exit(main())
