#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/lint.py [file...] - the house rules that no compiler knows; tools/check runs it on every file.

Each rule is a function that yields (line, message). Where a rule would make the code worse, ALLOWED holds the
exception and its reason.
"""
import os
import pathlib
import re
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODULES = ('runtime', 'netio', 'connpool', 'apps')
SOURCES = MODULES + ('tests',)
COLUMNS = 100
FUNCTION_LINES = 70
FILE_LINES = 800
PUBLIC_HEADER_LINES = 200

# (rule, path or function): why it is right there.
ALLOWED = {
    ('errno', 'runtime/errno.c'): 'is what errno stands for',
    ('errno', 'runtime/include/co/errno.h'): 'defines it',
    ('errno', 'runtime/overflow.c'): 'a signal handler leaves errno as it found it',
    ('errno', 'runtime/signals.c'): 'a signal handler leaves errno as it found it',
    ('errno', 'runtime/stall.c'): 'a signal handler leaves errno as it found it',
}

# Headers of others, and who alone may include them.
HOMES = (
    (re.compile(r'uv\.h|uv/'), ('runtime/', 'netio/file', 'netio/dir.c', 'tests/')),
    (re.compile(r'ini\.h'), ('runtime/conf',)),
    (re.compile(r'boost/'), ('runtime/context.c',)),
    (re.compile(r'sanitizer/'), ('runtime/context.c', 'runtime/stack')),
    (re.compile(r'valgrind/'), ('runtime/guard.c', 'tests/support/child.h')),
    (re.compile(r'openssl/'), ('netio/tls/', 'tests/')),
    (re.compile(r'(llhttp|zlib)\.h|brotli/|nghttp2/|wslay/'), ('netio/http/', 'tests/')),
    (re.compile(r'libpq|postgres|hiredis'), ('connpool/backends/', 'tests/')),
    (re.compile(r'criterion/'), ('tests/support/test.h',)),
    (re.compile(r'relacy/'), ('tests/model/',)),
)
# The same for functions that need no header.
SYMBOLS = (
    (re.compile(r'\b(jump|make|ontop)_fcontext\b'), ('runtime/context.c', 'tests/bench/fcontext.c')),
    (re.compile(r'\b__(tsan|asan|sanitizer)_\w+'), ('runtime/context.c', 'runtime/stack')),
)

INCLUDE = re.compile(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]')
ORDER = re.compile(r'\bmemory_order_(?!explicit)\w+|\b__ATOMIC_\w+')
TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.DOTALL)
CALL = re.compile(r'\b(?!(?:if|for|while|switch|return|sizeof|void|int)\b)[A-Za-z_]\w*\s*\(')
FUNCTION = re.compile(r'([A-Za-z_]\w*)\s*\([^;{}]*\)\s*$')


class Source:
    """A C file: its lines, its lines without comments and strings, and its comments by line."""

    def __init__(self, path):
        self.path = path
        self.text = (ROOT / path).read_text(encoding='utf-8')
        self.lines = self.text.split('\n')
        self.comments = {}  # line: text of a comment that begins there
        self.covered = set()  # lines on which a comment, or a part of one, stands

        def blank(match):
            token = match.group(0)
            if token[0] == '/':
                first = self.text.count('\n', 0, match.start()) + 1
                self.comments[first] = token
                self.covered.update(range(first, first + token.count('\n') + 1))
                return re.sub(r'[^\n]', ' ', token)
            return token[0] + ' ' * (len(token) - 2) + token[-1]

        self.code = TOKEN.sub(blank, self.text).split('\n')
        self.public = '/include/co/' in path and '/private/' not in path

    def in_module(self):
        return self.path.startswith(tuple(m + '/' for m in MODULES))

    def begin_of_statement(self, line):
        """The first line of the statement that line belongs to, as far as layout tells."""
        while line > 1:
            above = self.code[line - 2].rstrip()
            if not above.strip() or above.endswith((';', '{', '}', ':')) or above.lstrip().startswith('#'):
                if not above.endswith('\\'):
                    break
            line -= 1
        return line


def includes(source):
    for number, line in enumerate(source.lines, 1):
        found = INCLUDE.match(line)
        if not found:
            continue
        header = found.group(1)
        if '..' in header.split('/'):
            yield number, f'"{header}" leaves its folder: include by the layer\'s path'
        if header.startswith('co/private/'):
            if source.public:
                yield number, 'a public header includes a private one'
            if source.path.startswith(('runtime/sync/', 'connpool/', 'apps/')):
                yield number, f'{os.path.dirname(source.path)}/ is written against public headers only'
        for pattern, homes in HOMES:
            if pattern.match(header) and not source.path.startswith(homes):
                yield number, f'<{header}> belongs into {" or ".join(homes)}'


def symbols(source):
    for number, line in enumerate(source.code, 1):
        for pattern, homes in SYMBOLS:
            found = pattern.search(line)
            if found and not source.path.startswith(homes):
                yield number, f'{found.group(0)} belongs into {" or ".join(homes)}'


def errno(source):
    """errno is read right after the call that set it, and only as -errno or in a comparison."""
    if not source.in_module():
        return
    for number, line in enumerate(source.code, 1):
        if not re.search(r'(?<![\w/])errno\b(?!\.h)', line):
            continue
        if source.public or '/include/co/' in source.path:
            yield number, 'errno in an interface: functions return negative errno values'
            continue
        uses = re.findall(r'(?<![\w/])errno\b(?!\.h)', line)
        good = re.findall(r'-errno\b|\berrno\s*[!=]=|[!=]=\s*errno\b', line)
        if len(good) < len(uses):
            yield number, 'errno other than as -errno or in a comparison'
        elif not after_call(source, number):
            yield number, 'errno not on the line after a call: something may have come in between'


def after_call(source, number):
    """Whether nothing but a look at the result lies between that line and a call above it."""
    for back, segment in enumerate(segments_above(source, number)):
        if CALL.search(segment):
            return True
        words = segment.split()
        if back and words and words[0] not in ('if', 'else', 'switch', 'while') and '=' in segment.replace('==', ''):
            return False  # something else was computed
    return False


def segments_above(source, number):
    """The statements and block heads that end at that line, backwards, without blocks that are skipped."""
    code = '\n'.join(source.code[:number])
    code = code[:code.rindex('errno')]
    while code:
        cut = max(code.rfind(c) for c in ';{}')
        yield code[cut + 1:].strip()
        if cut < 0 or (code[cut] == '{' and code[:cut].endswith('\n')):
            return  # the beginning of the function
        if code[cut] == '}':
            depth = 1
            while depth and cut > 0:
                cut -= 1
                depth += {'}': 1, '{': -1}.get(code[cut], 0)
        code = code[:cut]


def orders(source):
    """Each memory order has a comment: on its line, directly above its statement or a group of them, or
    above in the function one that says "both" or "all" of that order."""
    if source.path.startswith('tests/model/'):
        return  # the models define the orders
    for number, line in enumerate(source.code, 1):
        if not ORDER.search(line) or line.lstrip().startswith('#define') or spoken_for(source, number):
            continue
        first = number
        while True:
            begin = source.begin_of_statement(first)
            if any(n in source.covered for n in range(begin - 1, number + 1)):
                break
            above = source.begin_of_statement(begin - 1) if begin > 1 else begin
            if above == begin or not any(ORDER.search(c) for c in source.code[above - 1:begin - 1]):
                yield number, f'{ORDER.search(line).group(0)} without a comment that says with what it pairs'
                break
            first = above


def spoken_for(source, number):
    order = re.sub(r'memory_order_|__ATOMIC_', '', ORDER.search(source.code[number - 1]).group(0)).lower()
    while number > 1 and not source.code[number - 1].startswith(('{', '}')):
        number -= 1
        comment = source.comments.get(number, '').lower()
        if re.search(rf'\b{order}\b[^:]*\b(both|all)\b', comment):
            return True
    return False


def documented(source):
    """A public function's comment says what it returns, whether it suspends, and who may call it; the last
    two may be said for all of them at the top of the header."""
    if not source.public:
        return
    for number, line in enumerate(source.code, 1):
        if not re.match(r'(extern\s+)?CO_API\b', line):
            continue
        declaration = ' '.join(source.code[number - 1:number + 5]).split(';')[0]
        if '(' not in declaration:
            continue
        name = re.search(r'(\w+)\s*\(', re.sub(r'__attribute__\s*\(\(.*?\)\)', '', declaration)).group(1)
        above = number - 1
        if above not in source.covered:
            yield number, f'{name} has no comment directly above it'
            continue
        comment = next(source.comments[n] for n in range(above, 0, -1) if n in source.comments)
        wanted = ['Suspends', 'Threads']
        for word, said in (('Suspends', r'None of this suspends|Suspends:'), ('Threads', r'Threads:')):
            if re.search(said, source.comments.get(2, '')):
                wanted.remove(word)  # the header says it for all of its functions
        if not re.match(r'(extern\s+)?CO_API\s+(CO_NODISCARD\s+)?void\s+[^*]', declaration):
            wanted.insert(0, 'Returns')
        for word in wanted:
            if not re.search(rf'\b{word}\b[^.:]*:', comment):
                yield number, f'{name}: its comment has no "{word}:"'


def sizes(source):
    if len(source.lines) - 1 > FILE_LINES:
        yield 1, f'{len(source.lines) - 1} lines, at most {FILE_LINES}'
    if source.public and len(source.lines) - 1 > PUBLIC_HEADER_LINES:
        yield 1, f'a public header of {len(source.lines) - 1} lines, at most {PUBLIC_HEADER_LINES}'
    begin = None
    for number, line in enumerate(source.code, 1):
        if line.startswith('{'):
            begin = number
        elif line.startswith('}') and begin:
            if number - begin + 1 > FUNCTION_LINES:
                head = ' '.join(source.code[max(0, begin - 6):begin - 1])
                found = FUNCTION.search(head)
                name = found.group(1) if found else 'function'
                if ('sizes', name) not in ALLOWED:
                    yield begin, f'{name} has {number - begin + 1} lines, at most {FUNCTION_LINES}'
            begin = None


def layout(source):
    for number, line in enumerate(source.lines, 1):
        if len(line) > COLUMNS:
            yield number, f'{len(line)} columns, at most {COLUMNS}'
        if line.rstrip() != line or '\t' in line:
            yield number, 'a blank at the end, or a tab'
    if '//' in re.sub(r'"[^"\n]*"', '', '\n'.join(source.lines)):
        for number, comment in source.comments.items():
            if comment.startswith('//'):
                yield number, 'comments are /* */'
    if not source.text.endswith('\n') or source.text.endswith('\n\n'):
        yield len(source.lines), 'a file ends with exactly one line feed'


def heading(source):
    if source.lines[0] != '/* SPDX-License-Identifier: MIT */':
        yield 1, 'the first line is the SPDX line'
    elif not source.lines[1].startswith('/*'):
        yield 2, 'the second line begins the comment that says what the file is for'


RULES = (includes, symbols, errno, orders, documented, sizes, layout, heading)


def thread_locals(sources):
    """One in the whole code base, because a coroutine that is stolen sees another thread's."""
    found = [(s.path, n) for s in sources if s.in_module()
             for n, line in enumerate(s.code, 1) if re.search(r'\b(_Thread_local|thread_local|__thread)\b', line)]
    for path, number in found[1:]:
        yield path, number, f'a second thread-local, the one allowed is in {found[0][0]}'


def listed(files):
    """Each source file is named in its folder's meson.build, and each test program in tests/meson.build."""
    for path in files:
        if not path.endswith('.c'):
            continue
        module = re.match(r'(runtime|netio/http|netio/tls|netio|connpool|apps/\w+)/(.*)$', path)
        test = re.match(r'tests/(.*)/test_(\w+)\.c$', path)
        if module:
            meson, name = f'{module.group(1)}/meson.build', f"'{module.group(2)}'"
        elif test:
            meson, name = 'tests/meson.build', f"'{test.group(1)}/{test.group(2)}'"
        else:
            continue
        if name not in (ROOT / meson).read_text(encoding='utf-8'):
            yield path, 1, f'is not in {meson}: nobody compiles it'


def machine(files):
    """No file tells where it was written. What that would look like is asked of the machine."""
    marks = {str(ROOT), str(pathlib.Path.home())}
    marks = {m for m in marks if len(m) > 4 and m not in ('/root', '/home')} | {'/home/', '/root/'}
    if len(socket.gethostname()) > 5 and socket.gethostname() != 'localhost':
        marks.add(socket.gethostname())
    for path in files:
        if path == 'tools/lint.py':
            continue
        try:
            text = (ROOT / path).read_text(encoding='utf-8')
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.split('\n'), 1):
            for mark in marks:
                if mark in line:
                    yield path, number, f'names a place of this machine: {mark}'


def spdx(files):
    for path in files:
        name = os.path.basename(path)
        if name == 'meson.build' or path.startswith(('tools/', '.ci/')) or name.endswith(('.sh', '.py', '.cpp', '.hpp')):
            head = (ROOT / path).read_text(encoding='utf-8', errors='replace').split('\n')[:2]
            if not any('SPDX-License-Identifier: MIT' in line for line in head):
                yield path, 1, 'has no SPDX line on top'


def all_files():
    """What git knows or would add; without git, everything but hidden and built files."""
    try:
        out = subprocess.run(['git', '-C', str(ROOT), 'ls-files', '-z', '--cached', '--others', '--exclude-standard'],
                             check=True, capture_output=True).stdout.decode()
        names = [n for n in out.split('\0') if n]
    except (OSError, subprocess.CalledProcessError):
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob('*') if p.is_file()]
        names = [n for n in names if not n.startswith(('build/', '.git/'))]
    return sorted(n for n in set(names) if (ROOT / n).is_file() and not (ROOT / n).is_symlink())


def main():
    files = sys.argv[1:] or all_files()
    sources = [Source(f) for f in files if f.endswith(('.c', '.h')) and f.startswith(tuple(s + '/' for s in SOURCES))]
    found = []
    for source in sources:
        for rule in RULES:
            if (rule.__name__, source.path) not in ALLOWED:
                found += [(source.path, n, rule.__name__, text) for n, text in rule(source)]
    found += [(*f[:2], 'thread_locals', f[2]) for f in thread_locals(sources)]
    for rule in (listed, machine, spdx):
        found += [(path, n, rule.__name__, text) for path, n, text in rule(files)]
    for path, number, rule, text in sorted(found):
        print(f'{path}:{number}: {text} [{rule}]')
    print(f'lint: {len(sources)} sources, {len(files)} files, {len(found)} findings')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
