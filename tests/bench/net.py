# SPDX-License-Identifier: MIT
"""Benchmarks of sockets: tools/bench echo, streaming, connect, idle and syscalls.

tools/bench hands itself in as `kit`; see there for what a benchmark is. All servers are driven by one client,
net_load.c, which reads the server's CPU time from the kernel at the moments between which it counts.
"""
import contextlib
import pathlib
import signal
import socket
import statistics
import subprocess
import time


def benches(kit):
    class Program:
        """A server: how to make it, and how to start it in a mode of net.c or bare_echo.c."""

        def __init__(self, make, needs, mode=None, threads='argument'):
            self.make = make
            self.needs = needs
            self.mode = mode  # instead of the one that is asked for
            self.threads = threads

        def prepare(self):
            if self.needs:
                kit.require(self.needs)
            self.program = self.make()

        def command(self, port, threads, mode):
            middle = [str(threads)] if self.threads == 'argument' else []
            return [self.program, str(port), *middle, self.mode or mode]

    def build_asio():
        if not pathlib.Path('/usr/include/boost/asio.hpp').exists():
            subprocess.run([kit.ROOT / 'tools' / 'setup', 'bench'], check=False)
        if not pathlib.Path('/usr/include/boost/asio.hpp').exists():
            raise kit.BenchError('Boost.Asio is not there; on Debian: apt-get install libboost-dev')
        source = kit.SOURCES / 'peers' / 'echo.cpp'
        target = kit.BUILT / 'echo-asio'
        return kit.build(target, source, ['g++', '-std=c++17', '-O2', '-DNDEBUG', '-o', str(target),
                                          str(source), '-pthread'])

    def ours(mode=None):
        return Program(lambda: kit.build_ours('tests/bench/net'), None, mode)

    def bare():
        return Program(lambda: kit.build_c('bare_echo'), 'gcc')

    def programs(**more):
        """`again` is the bare loop a second time: what the two differ by is the machine's."""
        return {'corvid': ours(), **more, 'bare': bare(), 'again': bare(),
                'go': Program(lambda: kit.build_go('echo'), 'go', threads='environment'),
                'asio': Program(build_asio, 'g++')}

    @contextlib.contextmanager
    def running(program, mode, threads, prefix=()):
        """The server as a process, listening; (process, port)."""
        port = kit.free_port()
        argv = [*prefix, *program.command(port, threads, mode)]
        server = subprocess.Popen(argv, env={**kit.os.environ, 'GOMAXPROCS': str(threads)},
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        try:
            end = time.monotonic() + 10
            while True:
                if server.poll() is not None:
                    raise kit.BenchError(f'{argv[0]} ended at its start')
                with contextlib.suppress(ConnectionRefusedError), \
                        socket.create_connection(('127.0.0.1', port), timeout=5):
                    break
                if time.monotonic() > end:
                    raise kit.BenchError(f'{argv[0]} does not listen after 10 seconds')
                time.sleep(0.02)
            yield server, port
        finally:
            server.kill()
            server.communicate()

    def on_cpus(cpus):
        """What goes before a command that is to stay on some processors."""
        return ['taskset', '-c', ','.join(str(cpu) for cpu in cpus)] if cpus else []

    def apart_from_client():
        """The processors for the servers, and that of the client: the last; none if there is one."""
        cpus = sorted(kit.os.sched_getaffinity(0))
        return (cpus[:-1], cpus[-1:]) if len(cpus) > 1 else ([], [])

    class Driver:
        """The client, with its connections to one server open; it works when it is asked to."""

        def __init__(self, mode, port, connections, size, slice_ms, pid, cpu=()):
            self.client = subprocess.Popen(
                [*on_cpus(cpu), kit.build_c('net_load'), mode, str(port), str(connections),
                 str(size), str(slice_ms), str(pid), *(['awake'] if cpu else [])],
                text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        def __enter__(self):
            return self

        def __exit__(self, *exc):
            self.client.communicate()

        def measure(self):
            self.client.stdin.write('\n')
            self.client.stdin.flush()
            words = self.client.stdout.readline().split()
            figures = dict(zip(words[::2], map(float, words[1::2])))
            if not figures or figures['failed'] > 0:
                raise kit.BenchError(f'connections broke: {figures}')
            return figures

    class Quartiles(kit.Report):
        """A report that also tells between what the middle half of the ratios lies."""

        def write(self, out):
            super().write(out)
            for metric, mine, other, _ in self.pairs:
                values = [done[mine][metric] / done[other][metric] for done in self.rounds
                          if mine in done and other in done]
                if len(values) > 1:
                    low, middle, high = statistics.quantiles(values, n=4, method='inclusive')
                    out.write(f'  {mine + "/" + other:22}{metric:>16} quartiles '
                              f'{low:.3f}, {middle:.3f}, {high:.3f}\n')
            out.flush()

    class Net:
        """What echo, streaming and connect have in common."""

        def prepare(self, options, servers):
            names = kit.chosen(options, servers)
            kit.require('gcc')
            kit.build_c('net_load')
            for name in names:
                servers[name].prepare()
            return names

        def add_options(self, parser):
            parser.set_defaults(rounds=60)
            parser.add_argument('--slice', type=kit.positive, default=200, metavar='MS',
                                help='of each measurement; 80 ms are added (200; connect: 120)')
            parser.add_argument('--connections', type=kit.numbers, default=self.connections,
                                metavar='N,N',
                                help=f'({",".join(str(n) for n in self.connections)})')
            parser.add_argument('--threads', type=kit.positive, default=2, help='of a server (2)')

        def compare(self, options, servers, title, pairs, modes, connections, size, fresh=0,
                    apart=False):
            """
            All servers run, and have their connections, all the time; they are driven by turns, so
            what is compared lies a quarter of a second apart. Or, fresh, all that is made anew for
            each few rounds: which memory a process gets, and which thread a connection, stays as it
            is for its life, so a figure is of one throw of the dice otherwise. Apart: the client has
            the last processor to itself and never sleeps, the servers have the others.
            """
            served, driven = modes
            servers_cpus, client_cpu = apart_from_client() if apart else ([], [])
            names = [name for name in servers if name in self.names]
            report = Quartiles(title, self.metrics, pairs)
            drivers = {}

            def measure(name):
                busy = kit.busy_time()
                figures = drivers[name].measure()
                busy = kit.busy_time() - busy
                # Of the whole slice, its beginning included; the ticks of 10 ms make it coarse.
                span = figures['seconds'] + 0.08
                work = (figures['cpu_us'] + figures['load_us']) * figures['rate'] / 1e6
                figures['other'] = max(0.0, 100 * (busy / span - work) / kit.os.cpu_count())
                return figures

            def set_up(stack):
                for name in names:
                    server, port = stack.enter_context(
                        running(servers[name], served, options.threads, on_cpus(servers_cpus)))
                    drivers[name] = stack.enter_context(
                        Driver(driven, port, connections, size, options.slice, server.pid,
                               client_cpu))
                for name in names:
                    drivers[name].measure()

            few = fresh or options.rounds
            for begun in range(0, options.rounds, few):
                count = min(few, options.rounds - begun)
                with contextlib.ExitStack() as stack:
                    set_up(stack)
                    kit.alternate(report, count, names, measure)
            return report

    class Echo(Net):
        name = 'echo'
        help = 'CPU per message of a TCP echo: Corvid, a bare epoll loop, Go, Boost.Asio'
        metrics = [('cpu_us', 'CPU us/message', 2), ('load_us', 'client\'s', 2),
                   ('rate', 'messages/s', 0), ('other', 'others\' CPU %', 1)]
        limit = 1.05
        large = 4096

        connections = [64, 1000]

        def add_options(self, parser):
            super().add_options(parser)
            parser.add_argument('--sizes', type=kit.numbers, default=[64, 16384], metavar='N,N',
                                help='of a message, in bytes (64,16384)')
            parser.add_argument('--shared', action='store_true',
                                help='client and servers on the same processors')

        def run(self, options):
            apart = not options.shared
            servers = programs(timed=ours('timed'), lent=ours('lent'), when=ours('when'))
            self.names = self.prepare(options, servers)
            for connections in options.connections:
                for size in options.sizes:
                    # A message of some size is better not on the stack of each coroutine, which
                    # the cache has forgotten by the next one.
                    large = size >= self.large
                    pairs = [('cpu_us', 'corvid', 'bare', self.limit),
                             ('cpu_us', 'lent', 'bare', self.limit if large else None),
                             ('cpu_us', 'timed', 'bare', None), ('cpu_us', 'when', 'bare', None),
                             ('cpu_us', 'again', 'bare', None),
                             ('cpu_us', 'corvid', 'go', 1.0), ('cpu_us', 'corvid', 'asio', 1.0)]
                    title = (f'echo of {size} bytes, {connections} connections, {options.threads} '
                             'threads; timed: a deadline for each message; when: and no stack '
                             'between them; lent: from the buffer of a stream')
                    yield self.compare(options, servers, title, pairs, ('echo', 'echo'),
                                       connections, size, fresh=4, apart=apart)

    class Streaming(Net):
        name = 'streaming'
        help = 'CPU per MiB that goes one way, received or sent'
        metrics = [('cpu_us', 'CPU us/MiB', 1), ('load_us', 'client\'s', 1), ('rate', 'MiB/s', 0),
                   ('other', 'others\' CPU %', 1)]
        limit = 1 / 0.97  # at least 0.97 of the bytes per CPU time

        # With a few, chance decides how even they are spread over the threads of a server.
        connections = [16]

        def run(self, options):
            servers = programs()
            self.names = self.prepare(options, servers)
            pairs = [('rate', 'bare', 'corvid', self.limit), ('cpu_us', 'corvid', 'bare', self.limit),
                     ('rate', 'bare', 'again', None), ('cpu_us', 'again', 'bare', None),
                     ('cpu_us', 'corvid', 'go', 1.0), ('cpu_us', 'corvid', 'asio', 1.0)]
            for connections in options.connections:
                for modes, what in ((('sink', 'push'), 'received'), (('source', 'pull'), 'sent')):
                    title = (f'bytes {what} by the server, {connections} connections, '
                             f'{options.threads} threads')
                    yield self.compare(options, servers, title, pairs, modes,
                                       connections, 0, fresh=1)

    class Connect(Net):
        name = 'connect'
        help = 'connect, exchange a message, close: connections per second and CPU of each'
        metrics = [('rate', 'connections/s', 0), ('cpu_us', 'CPU us/each', 2),
                   ('load_us', 'client\'s', 2), ('other', 'others\' CPU %', 1)]

        connections = [64]

        def add_options(self, parser):
            super().add_options(parser)
            parser.set_defaults(rounds=240, slice=120)  # it is about a percent

        def run(self, options):
            servers = programs(plain=ours('echo'))
            servers['corvid'] = ours('short')
            self.names = self.prepare(options, servers)
            # "At least the rate of the other" is "of the other's rate at most 1 part of mine".
            pairs = [('rate', 'bare', 'corvid', 1.0), ('rate', 'bare', 'again', None),
                     ('rate', 'go', 'corvid', 1.0),
                     ('rate', 'asio', 'corvid', None), ('cpu_us', 'corvid', 'bare', None),
                     ('cpu_us', 'corvid', 'go', 1.0), ('cpu_us', 'plain', 'bare', None)]
            for connections in options.connections:
                title = (f'short connections, {connections} at once, {options.threads} threads; '
                         'corvid: a listener for each worker; plain: one listener')
                yield self.compare(options, servers, title, pairs, ('echo', 'short'),
                                   connections, 64, fresh=4)

    class Idle(Net):
        name = 'idle'
        help = 'memory of 10,000 idle connections, per connection, beside Go'
        metrics = [('bytes', 'bytes each', 0), ('after', 'KiB after close', 0)]

        def add_options(self, parser):
            parser.set_defaults(rounds=3)
            parser.add_argument('--connections', type=kit.positive, default=10000,
                                help='each has exchanged a message (10000)')
            parser.add_argument('--threads', type=kit.positive, default=2, help='of a server (2)')

        def measure(self, program, options):
            with running(program, 'echo', options.threads) as (server, port):
                with Driver('echo', port, 16, 64, 200, server.pid) as driver:
                    driver.measure()  # what is needed once is there
                return kit.idle_memory(server.pid, options.connections,
                                       [kit.build_c('net_load'), 'idle', str(port),
                                        str(options.connections), '64', '0', '0'])

        def run(self, options):
            servers = {'corvid': ours('when'), 'parked': ours('echo'),
                       'go': programs()['go'], 'asio': programs()['asio'],
                       'bare': programs()['bare']}
            names = self.prepare(options, servers)
            report = kit.Report(f'{options.connections} idle connections, server process; corvid: '
                                'waits with co_go_when; parked: in co_recv', self.metrics,
                                [('bytes', 'corvid', 'go', 1.0), ('bytes', 'parked', 'go', None)])
            kit.alternate(report, options.rounds, names,
                          lambda name: self.measure(servers[name], options))
            yield report

    class Syscalls(Net):
        name = 'syscalls'
        help = 'system calls per message in the steady state, by strace and by our own counters'
        metrics = [('transfers', 'recv and send', 4), ('waits', 'waits', 4),
                   ('epoll_ctl', 'epoll_ctl', 4)]
        transfers = ('recvfrom', 'recvmsg', 'recvmmsg', 'read', 'readv', 'sendto', 'sendmsg',
                     'sendmmsg', 'write', 'writev')
        waits = ('epoll_wait', 'epoll_pwait', 'epoll_pwait2', 'poll', 'ppoll', 'select', 'pselect6',
                 'futex', 'nanosleep', 'clock_nanosleep')
        limits = {'transfers': 2.02, 'waits': 0.1, 'epoll_ctl': 0.001}
        apart = 'client apart'

        def add_options(self, parser):
            parser.set_defaults(rounds=5)
            parser.add_argument('--connections', type=kit.positive, default=64, help='(64)')
            parser.add_argument('--messages', type=kit.positive, default=400,
                                help='of each connection under strace; fifty times as many without '
                                'it (400)')
            parser.add_argument('--threads', type=kit.positive, default=2, help='(2)')

        def counted(self, options, messages, log=None, only=(), apart=False):
            """
            (strace's counts, own counters) of a server's whole life with so many messages; only: the
            calls that strace sees. The others run as fast as without it. Unless it is apart, the
            client is on the server's processor.
            """
            cpus, last = apart_from_client()
            servers_cpus, client_cpu = (cpus if apart else last), last
            prefix = ['strace', '-f', '-c', '-o', log] if log else []
            if only:
                prefix += ['--seccomp-bpf', '-e', 'trace=' + ','.join(f'?{name}' for name in only)]
            with running(self.server, 'echo', options.threads,
                         [*on_cpus(servers_cpus), *prefix]) as (server, port):
                kit.run_figures([*on_cpus(client_cpu), kit.build_c('net_load'), 'count', str(port),
                                 str(options.connections), '64', str(messages), '0',
                                 *(['awake'] if apart and client_cpu else [])])
                pid = kit.family(server.pid)[-1]  # strace's child, or itself
                kit.os.kill(pid, signal.SIGTERM)
                own = {key: float(value) for key, value in
                       (line.split() for line in server.communicate(timeout=30)[0].splitlines())}
            seen = {}
            for line in pathlib.Path(log).read_text().splitlines() if log else []:
                fields = line.split()
                if len(fields) >= 5 and fields[3].isdigit():
                    seen[fields[-1]] = float(fields[3])
            return seen, own

        def own_figures(self, own, messages):
            # Writes to the wake-up descriptor are calls that wake, not that transfer; strace's write holds
            # them, so they are in here, too.
            return {'transfers': (own['net_recvs'] + own['net_sends'] + own['eventfd_writes']) / messages,
                    'waits': (own['polls'] + own['waits']) / messages,
                    'epoll_ctl': own['epoll_ctls'] / messages}

        def seen_figures(self, seen, messages):
            return {'transfers': sum(seen.get(name, 0) for name in self.transfers) / messages,
                    'waits': sum(seen.get(name, 0) for name in self.waits) / messages,
                    'epoll_ctl': seen.get('epoll_ctl', 0) / messages}

        def difference(self, options, factor, **how):
            """Figures (strace's, our own) of a long life less a short one: of the steady state."""
            few, many = options.messages * factor // 4, options.messages * factor
            lives = [self.counted(options, messages, **how) for messages in (few, many)]
            seen, own = ({key: long.get(key, 0) - short.get(key, 0) for key in long | short}
                         for short, long in zip(*lives))
            messages = (many - few) * options.connections
            return self.seen_figures(seen, messages), self.own_figures(own, messages)

        def round(self, options):
            """
            A call that is traced takes twenty times as long; then one waits more often, too. All 64
            are busy where the client has sent whatever it can before the server looks: on one
            processor. Beside the server it is no faster than that, and sends a few at a time; how
            few says more of the client, so there is no limit for it.
            """
            with kit.tempfile.TemporaryDirectory(prefix='corvid-bench-') as folder:
                log = f'{folder}/strace'
                every = self.difference(options, 1, log=log)
                waits = self.difference(options, 10, log=log, only=self.waits)
            seen, own = ({**of_every, 'waits': of_waits['waits']}
                         for of_every, of_waits in zip(every, waits))
            return {'strace': seen, 'counters, the same': own,
                    'counters alone': self.difference(options, 50)[1],
                    self.apart: self.difference(options, 50, apart=True)[1]}

        def run(self, options):
            kit.require('gcc', 'strace')
            kit.build_c('net_load')
            self.server = ours()
            self.server.prepare()
            report = Bounded(f'system calls per message: echo of 64 bytes, {options.connections} '
                             'connections, steady state', self.metrics, self.limits, [self.apart])
            for _ in range(options.rounds):
                report.rounds.append(self.round(options))
            yield report

    class Bounded(kit.Report):
        """A report whose figures have limits: each, of whoever has counted, but for some."""

        def __init__(self, title, metrics, limits, unbounded):
            super().__init__(title, metrics, [])
            self.limits = limits
            self.unbounded = unbounded

        def ratios(self):
            for metric, bound in self.limits.items():
                for name in self.rounds[0]:
                    values = [done[name][metric] for done in self.rounds]
                    median = statistics.median(values)
                    limit = None if name in self.unbounded else bound
                    yield {'metric': metric, 'pair': name, 'median': median, 'min': min(values),
                           'max': max(values), 'limit': limit, 'met': limit is None or median <= limit}

    return [Echo(), Streaming(), Connect(), Idle(), Syscalls()]
