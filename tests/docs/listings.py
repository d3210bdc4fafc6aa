#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/docs/listings.py ROOT BUILD CC... - compile what the documents show. Writes TAP.

Looks at README.md and at docs/**/*.md. The word behind ``` says what a block is, the words after it what is
done with it:

    c file=NAME        a file of a program. The blocks of a page whose names share a folder are one program
                       ("echo.c" alone is one too): its .c files are compiled and linked.
    c file=NAME run    The program is run as well, and prints what the next ```text block holds.
    c part             functions and declarations; compiled behind the headers in PRELUDE.
    c block            statements; compiled as the body of a function of a coroutine that returns an int.
    c from=PATH        the block stands like this in the file PATH of the tree, which is compiled there.
    ini                httpd --check-config takes it. "ini from=PATH" as above.
    sh, text           for people.

A comment directly above a part or a block, <!-- given: ... -->, holds what the reader knows already: declarations for
a part; for a block, parameters of the function. Blocks of other kinds are refused, so nothing is overlooked.

Then the links between documents are followed, and what stands `between ticks` and looks like a path of the tree,
or like a public name, has to exist.
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

WARNINGS = ('-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla '
            '-Wcast-qual -Wundef -Werror').split()
LAYERS = ('runtime', 'netio', 'netio/http', 'netio/tls', 'connpool')
MODULES = ('runtime', 'netio', 'connpool', 'apps', 'tests', 'docs', 'tools')
PRELUDE = ''.join(f'#include <{name}>\n' for name in (
    'co/co.h', 'co/http.h', 'co/tls.h', 'inttypes.h', 'stdio.h', 'stdlib.h', 'string.h', 'sys/socket.h', 'unistd.h'))
FENCE = re.compile(r'^```(.*)$')
GIVEN = re.compile(r'<!--\s*given:\s*(.*?)\s*-->$', re.DOTALL)
TICKS = re.compile(r'(?<!`)`([^`\n]+)`(?!`)')
LINK = re.compile(r'(?<!!)\[[^\]]*\]\(([^)\s]+)\)')
RUN_SECONDS = 30


class Block:
    """A fenced block: where it stands, its words, its text, and what is given with it."""

    def __init__(self, page, line, words, text, given):
        self.page, self.line, self.text, self.given = page, line, text, given
        self.kind = words[0] if words else ''
        self.marks = dict(w.partition('=')[::2] for w in words[1:])

    def where(self):
        return f'{self.page}:{self.line}'

    def located(self):
        return f'#line {self.line + 1} "{self.page}"\n{self.text}'


def blocks_of(page, text):
    """The fenced blocks of a page, in order."""
    lines = text.split('\n')
    found = []
    number = 0
    while number < len(lines):
        fence = FENCE.match(lines[number])
        number += 1
        if not fence:
            continue
        begin = number
        while number < len(lines) and lines[number] != '```':
            number += 1
        above = '\n'.join(lines[:begin - 1]).rstrip()
        given = GIVEN.search(above[above.rfind('<!--'):]) if above.endswith('-->') else None
        found.append(Block(page, begin, fence.group(1).split(), '\n'.join(lines[begin:number]) + '\n',
                           given.group(1) if given else ''))
        number += 1
    return found


class Checker:
    def __init__(self, root, build, cc, tmp):
        self.root, self.build, self.tmp = root, build, tmp
        words = os.environ.get('CORVID_LISTING_FLAGS', '').split()
        self.compile = cc + ['-std=gnu17', '-O1', '-D_GNU_SOURCE'] + WARNINGS + words + [
            f'-I{root / layer}/include' for layer in LAYERS] + ['-include', 'co/errno.h']
        http = build / 'netio' / 'http'
        self.cc = cc
        self.link = [f'-L{http}', '-lcorvid-http', f'-L{build}', '-lcorvid', f'-Wl,-rpath,{build}:{http}']
        self.jobs = []  # (name, function)

    def run(self, command, **more):
        """None, or what went wrong."""
        done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=RUN_SECONDS * 2, check=False, **more)
        return None if done.returncode == 0 else done.stdout or f'exit status {done.returncode}'

    def folder(self, name):
        path = self.tmp / re.sub(r'\W', '_', name)
        path.mkdir(parents=True, exist_ok=True)
        return path

    # Each of these returns None, or what is wrong.

    def part(self, block):
        source = self.folder(block.where()) / 'listing.c'
        if block.kind == 'c' and 'block' in block.marks:
            code = (f'int co_listing({block.given or "void"});\nint co_listing({block.given or "void"})\n{{\n'
                    f'{block.located()}\n    return 0;\n}}\n')
        else:
            code = f'{block.given}\n{block.located()}'
        source.write_text(PRELUDE + code)
        return self.run(self.compile + ['-Wno-unused-function', '-Wno-unused-variable', '-Wno-unused-parameter',
                                        '-iquote', self.root / 'apps/httpd/handlers',
                                        '-c', source, '-o', source.with_suffix('.o')])

    def program(self, blocks, expected):
        folder = self.folder(blocks[0].where())
        objects = []
        for block in blocks:
            name = folder / os.path.basename(block.marks['file'])
            name.write_text(block.located())
        for source in sorted(folder.glob('*.c')):
            objects.append(source.with_suffix('.o'))
            wrong = self.run(self.compile + ['-c', source, '-o', objects[-1]])
            if wrong:
                return wrong
        wrong = self.run(self.cc + objects + self.link + ['-o', folder / 'program'])
        if wrong or expected is None:
            return wrong
        done = subprocess.run([str(folder / 'program')], capture_output=True, text=True, timeout=RUN_SECONDS,
                              check=False)
        if done.returncode != 0 or done.stdout != expected:
            return f'exit status {done.returncode}\n{done.stderr}printed:\n{done.stdout}instead of:\n{expected}'
        return None

    def excerpt(self, block):
        path = self.root / block.marks['from']
        if not path.is_file():
            return f'there is no {block.marks["from"]}'
        return None if block.text in path.read_text(encoding='utf-8') else f'{path.name} has no such lines'

    def settings(self, block):
        httpd = self.build / 'apps' / 'httpd' / 'httpd'
        file = self.folder(block.where()) / 'listing.ini'
        file.write_text(block.text)
        return self.run([httpd, '--config', file, '--check-config'])

    def page(self, page, text):
        """Queues what a page shows."""
        blocks = blocks_of(page, text)
        programs = {}
        for i, block in enumerate(blocks):
            marks = block.marks
            if 'from' in marks:
                self.add(f'{block.where()} is in {marks["from"]}', self.excerpt, block)
            elif block.kind == 'ini':
                self.add(f'{block.where()}: httpd takes the settings', self.settings, block)
            elif block.kind == 'c' and 'file' in marks:
                name = os.path.dirname(marks['file']) or marks['file']
                program = programs.setdefault(name, {'blocks': [], 'expected': None})
                program['blocks'].append(block)
                if 'run' in marks:
                    program['expected'] = next((b.text for b in blocks[i + 1:] if b.kind == 'text'), '')
            elif block.kind == 'c' and ('part' in marks or 'block' in marks):
                self.add(f'{block.where()} compiles', self.part, block)
            elif block.kind not in ('sh', 'text'):
                self.add(f'{block.where()} is of a known kind', lambda b: f'"{b.kind}" with {b.marks}', block)
        for name, program in programs.items():
            verb = 'links' if program['expected'] is None else 'runs'
            self.add(f'{page}: {name} {verb}', self.program, program['blocks'], program['expected'])

    def add(self, name, function, *args):
        self.jobs.append((name, function, args))

    def links(self, page, text):
        bad = []
        for target in LINK.findall(re.sub(r'^```.*?^```$', '', text, flags=re.DOTALL | re.MULTILINE)):
            path, _, anchor = target.partition('#')
            file = (self.root / page).parent / path if path else self.root / page
            if '://' not in path and not (file.exists() and (not anchor or anchor in anchors(file))):
                bad.append(target)
        return '\n'.join(bad) or None

    def names(self, page, text, words):
        """Paths and public names between ticks that are not there."""
        bad = []
        for tick in TICKS.findall(re.sub(r'^```.*?^```$', '', text, flags=re.DOTALL | re.MULTILINE)):
            path = re.match(r'(?:%s)/[\w./*-]*$' % '|'.join(MODULES), tick)
            if path and not any(self.root.glob(tick.rstrip('/'))):
                bad.append(f'there is no {tick}')
            bad += [f'nothing is called {name}' for name in re.findall(r'\b(?:co|CO)_\w+', tick)
                    if name not in words and not name.endswith('_')]
            bad += [f'there is no <{name}>' for name in re.findall(r'\bco/\w+\.h\b', tick)
                    if not any((self.root / layer / 'include' / name).exists() for layer in LAYERS)]
        return '\n'.join(bad) or None


def anchors(path):
    """The anchors that a page's headings become."""
    headings = re.findall(r'^#+ (.*)$', path.read_text(encoding='utf-8'), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


def known_words(root):
    words = set()
    for module in MODULES:
        for path in (root / module).rglob('*.[ch]'):
            words.update(re.findall(r'\b(?:co|CO)_\w+', path.read_text(encoding='utf-8', errors='replace')))
    return words


def attempt(job):
    _, function, args = job
    try:
        return function(*args)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)


def main():
    root, build = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    pages = [root / 'README.md'] + sorted((root / 'docs').rglob('*.md'))
    words = known_words(root)
    with tempfile.TemporaryDirectory() as tmp:
        checker = Checker(root, build, sys.argv[3:], pathlib.Path(tmp))
        for path in pages:
            page, text = str(path.relative_to(root)), path.read_text(encoding='utf-8')
            checker.page(page, text)
            checker.add(f'{page}: its links lead somewhere', checker.links, page, text)
            if 'docs/decisions/' not in page:  # those tell what was, and what was not built
                checker.add(f'{page}: what it names is there', checker.names, page, text, words)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            results = list(pool.map(attempt, checker.jobs))
    print(f'1..{len(results)}')
    for number, (job, wrong) in enumerate(zip(checker.jobs, results), 1):
        print(f'{"not ok" if wrong else "ok"} {number} - {job[0]}')
        for line in (wrong or '').splitlines():
            print(f'# {line}')
    return 1 if any(results) else 0


if __name__ == '__main__':
    sys.exit(main())
