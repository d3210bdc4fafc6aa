# SPDX-License-Identifier: MIT
"""Coroutines of a Corvid program in gdb, alive or from a core file.

    (gdb) source tools/gdb/corvid.py
    (gdb) co list             all coroutines: number, state, what they wait for
    (gdb) co bt 31            the calls of coroutine 31
    (gdb) co bt all           of all that are parked

The program needs debug information (-g). Nothing is called in it and nothing in it is changed: the
registers that a parked coroutine left on its stack are given to gdb's own unwinder, as those of the
caller of the selected thread's innermost frame.
"""
import re

import gdb
import gdb.unwinder

CLAIMED, SAVED, BITS = 1, 2, 7  # of the park word, runtime/coro.h
CHUNK_BITS = 12
NEVER = (1 << 63) - 1

# What fcontext (Boost 1.74 and later) saves, by offset; `size` is what it takes from the stack.
LAYOUTS = {
    'x86-64': {'pc': 'rip', 'sp': 'rsp', 'size': 0x40,
               'saved': {'r12': 0x08, 'r13': 0x10, 'r14': 0x18, 'r15': 0x20, 'rbx': 0x28,
                         'rbp': 0x30, 'rip': 0x38}},
    'aarch64': {'pc': 'pc', 'sp': 'sp', 'size': 0xb0,
                'saved': {**{f'x{n}': 0x40 + 8 * (n - 19) for n in range(19, 31)}, 'pc': 0xa0}},
}


def layout():
    name = gdb.selected_frame().architecture().name()
    return LAYOUTS['aarch64' if 'aarch64' in name else 'x86-64']


def word(address):
    data = gdb.selected_inferior().read_memory(address, 8)
    return int.from_bytes(bytes(data), 'little')


def symbol(expression):
    try:
        return gdb.parse_and_eval(expression)
    except gdb.error as error:
        raise gdb.GdbError(f'{expression}: {error} (a Corvid program with debug information?)') from error


def number(value):
    """Of an integer, atomic or not."""
    return int(value.cast(value.type.unqualified().strip_typedefs()))


def text(value):
    """What a char pointer points to, or ''."""
    try:
        return value.string(errors='replace') if int(value) else ''
    except gdb.error:
        return '?'


class Coroutine:
    def __init__(self, record, index, workers):
        self.index = index
        self.record = record
        self.word = number(record['word'])
        self.name = text(record['name'])
        self.worker = workers.get(index)
        self.begun = int(record['stack']) != 0

    def parked(self):
        return not self.word & CLAIMED

    def context(self):
        """Where its registers lie; 0 if they do not."""
        return int(self.record['context']['saved']) if self.parked() and self.begun else 0

    def state(self):
        if self.word & BITS == BITS:
            return 'ready' if self.worker is None else f'running on worker {self.worker}'
        what = text(self.record['what']) or 'something'
        at = int(self.record['object'])
        waits = f'{what} at {at:#x}' if at else what
        if not self.parked():
            return f'about to go on from {waits}'
        line = f'waits for {waits}' if self.begun else f'not begun, waits for {waits}'
        if what == 'descriptor':
            line += descriptor(at)
        elif what == 'mutex' and at:
            line += holder(at)
        if number(self.record['until']) != NEVER:
            line += ', with a deadline'
        return line

    def function(self):
        return symbol_at(int(self.record['entry']['fn']))

    def headline(self):
        name = f' ({self.name})' if self.name else ''
        cancelled = ', cancelled' if number(self.record['cancelled']) else ''
        return f'coroutine {self.index}{name}, {self.state()}{cancelled}'


def symbol_at(address):
    shown = gdb.execute(f'info symbol {address:#x}', to_string=True)
    return re.sub(r' in section.*', '', shown).strip() if 'No symbol' not in shown else hex(address)


def descriptor(source):
    """The slot that a wait source lies in, if the program has sockets."""
    try:
        slot = gdb.lookup_type('struct co__slot').pointer()
        kind = next(f for f in slot.target().fields() if f.name == 'write')
    except (gdb.error, StopIteration):
        return ''
    writes = source % 64 == kind.bitpos // 8 % 64
    base = source - (kind.bitpos // 8 if writes else 0)
    try:
        fd = int(gdb.Value(base).cast(slot)['fd'])
    except (gdb.error, gdb.MemoryError):
        return ''
    return f' (fd {fd}, to {"write" if writes else "read"})'


def holder(mutex):
    try:
        owner = int(gdb.Value(mutex).cast(gdb.lookup_type('struct co_mutex').pointer())['owner'])
    except (gdb.error, gdb.MemoryError):
        return ''
    return f', which coroutine {owner} holds' if owner else ''


def coroutines():
    """Those that live, by number."""
    runtime = symbol('co__rt')
    workers = {}
    for i in range(int(runtime['count'])):
        running = number(runtime['workers'][i]['running'])
        if running:
            workers[running] = i
    chunks = symbol('co__chunks')
    index = 0
    while int(chunks[index >> CHUNK_BITS]):
        record = chunks[index >> CHUNK_BITS][index & ((1 << CHUNK_BITS) - 1)]
        if record['alive']:
            yield Coroutine(record, index, workers)
        index += 1


class Unwinder(gdb.unwinder.Unwinder):
    """Makes the coroutine's registers those of the innermost frame's caller, while it is enabled."""

    class Frame:
        def __init__(self, sp, pc):
            self.sp = sp
            self.pc = pc

    def __init__(self):
        super().__init__('corvid')
        self.enabled = False
        self.context = 0
        self.innermost = 0

    def __call__(self, frame):
        saved = layout_in_use['saved']
        sp = layout_in_use['sp']
        if int(frame.read_register(sp)) & (1 << 64) - 1 != self.innermost or not self.context:
            return None
        pointer = gdb.lookup_type('unsigned long')
        pc = frame.read_register(layout_in_use['pc'])
        # Its own identity lies below the coroutine's frames, so that they are its callers.
        info = frame.create_unwind_info(Unwinder.Frame(gdb.Value(self.context).cast(pointer), pc))
        for register, offset in saved.items():
            info.add_saved_register(register, gdb.Value(word(self.context + offset)).cast(pointer))
        info.add_saved_register(sp, gdb.Value(self.context + layout_in_use['size']).cast(pointer))
        return info


unwinder = Unwinder()
gdb.unwinder.register_unwinder(None, unwinder, replace=True)
layout_in_use = LAYOUTS['x86-64']


def backtrace(coroutine):
    """Lines of gdb's own backtrace, without the thread's frame that they hang from."""
    global layout_in_use
    context = coroutine.context()
    if not context:
        return [f'  started with {coroutine.function()}'] if not coroutine.begun else []
    selected = gdb.selected_frame()
    frame = gdb.newest_frame()
    layout_in_use = layout()
    unwinder.innermost = int(frame.read_register(layout_in_use['sp'])) & (1 << 64) - 1
    unwinder.context = context
    unwinder.enabled = True
    gdb.invalidate_cached_frames()
    try:
        lines = gdb.execute('backtrace', to_string=True).splitlines()
    finally:
        unwinder.enabled = False
        unwinder.context = 0
        gdb.invalidate_cached_frames()
    if selected.is_valid():
        selected.select()
    lines = [line for line in lines if not line.startswith('#0 ')]
    return [re.sub(r'^#(\d+)', lambda m: f'  #{int(m.group(1)) - 1}', line) for line in lines]


class Co(gdb.Command):
    """Coroutines: co list, co bt NUMBER, co bt all."""

    def __init__(self):
        super().__init__('co', gdb.COMMAND_STACK, prefix=True)


class CoList(gdb.Command):
    """List all coroutines: number, name, state, and what they wait for."""

    def __init__(self):
        super().__init__('co list', gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        count = 0
        for coroutine in coroutines():
            print(coroutine.headline())
            count += 1
        print(f'{count} coroutines')


class CoBt(gdb.Command):
    """Show the calls of a coroutine, by its number, or of all that are parked: co bt all."""

    def __init__(self):
        super().__init__('co bt', gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        wanted = argument.strip()
        if wanted != 'all' and not wanted.isdigit():
            raise gdb.GdbError('co bt NUMBER, or co bt all')
        found = False
        for coroutine in coroutines():
            if wanted not in ('all', str(coroutine.index)):
                continue
            found = True
            print(coroutine.headline())
            for line in backtrace(coroutine):
                print(line)
            if coroutine.worker is not None:
                print('  it runs: see `thread apply all backtrace`')
        if not found:
            raise gdb.GdbError(f'no coroutine {wanted}' if wanted != 'all' else 'no coroutines')


Co()
CoList()
CoBt()
