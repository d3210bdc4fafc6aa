# SPDX-License-Identifier: MIT
"""Benchmarks of what the workers do for each other: tools/bench rescue and tools/bench stealing.

tools/bench hands itself in as `kit`; see there for what a benchmark is. Both want a quiet machine with
two processors; `nice -n -20 tools/bench ...` keeps the rest of it away.
"""
import contextlib
import signal
import statistics
import subprocess


def benches(kit):
    class Bounded(kit.Report):
        """A report with limits of figures, not of ratios: (metric, contestant, how, bound, over).

        how: 'at most' or 'at least'; over: what makes one figure out of the rounds.
        """

        def __init__(self, title, metrics, bounds):
            super().__init__(title, metrics, [])
            self.bounds = bounds

        def ratios(self):
            for key, name, how, bound, over in self.bounds:
                values = [done[name][key] for done in self.rounds if name in done]
                if not values:
                    continue
                value = over(values)
                met = value <= bound if how == 'at most' else value >= bound
                yield {'metric': key, 'pair': name, 'median': statistics.median(values),
                       'min': min(values), 'max': max(values), 'limit': bound, 'met': met,
                       'how': how, 'value': value}

        def write(self, out):
            bounds, self.bounds = self.bounds, []
            super().write(out)
            self.bounds = bounds
            for r in self.ratios():
                verdict = 'met' if r['met'] else 'MISSED'
                out.write(f'  {r["pair"]:22}{r["metric"]:>16} {r["value"]:10.3f}   '
                          f'{r["how"]} {r["limit"]:g}: {verdict}\n')
            out.flush()

    class Rescue:
        name = 'rescue'
        help = 'how long the sockets of a worker wait that computes 100 ms at a time'
        metrics = [('p50_us', 'p50 us', 0), ('p99_us', 'p99 us', 0), ('worst_us', 'worst us', 0),
                   ('unanswered', 'unanswered', 0), ('elsewhere', 'elsewhere %', 1)]
        bounds = [('p50_us', 'corvid', 'at most', 300, statistics.median),
                  ('p99_us', 'corvid', 'at most', 2500, statistics.median),
                  ('worst_us', 'corvid', 'at most', 20000, max),
                  ('unanswered', 'corvid', 'at most', 0, max)]

        def add_options(self, parser):
            parser.add_argument('--seconds', type=kit.positive, default=5,
                                help='of each measurement (5)')
            parser.add_argument('--rate', type=kit.positive, default=1000,
                                help='requests per second (1000)')
            parser.add_argument('--connections', type=kit.positive, default=32,
                                help='sockets of the kept worker (32)')
            parser.add_argument('--gaps', type=lambda text: [int(gap) for gap in text.split(',')],
                                default=[0, 10], metavar='MS,MS',
                                help='between two times of computing; 0: a yield (0,10)')

        def command(self, name, gap):
            times = ['100', str(gap)]
            if name == 'go':
                return [self.programs['go']] + times, {'GOMAXPROCS': '2'}
            return [self.programs['corvid'], 'on' if name == 'corvid' else 'off'] + times, {}

        def measure(self, name, gap, options):
            argv, environment = self.command(name, gap)
            server = subprocess.Popen(argv, env={**kit.os.environ, **environment}, text=True,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            with contextlib.ExitStack() as stack:
                stack.callback(server.kill)
                said = dict(server.stdout.readline().split() for _ in range(2))
                # Worker i is on the i-th processor: the client sits beside the other worker. Go's
                # threads go where the kernel puts them.
                beside = self.cpus[1 - int(said['hog'])]
                figures = kit.run_figures([self.client, said['port'], str(options.connections),
                                           str(options.rate), str(options.seconds), str(beside)])
                server.send_signal(signal.SIGTERM)
                rest = server.communicate(timeout=30)[0]
                said.update(line.split() for line in rest.splitlines())
            kept, others = int(said.get('kept', 0)), int(said.get('others', 0))
            figures['elsewhere'] = 100 * others / (kept + others) if kept + others else 0.0
            return figures

        def run(self, options):
            self.cpus = sorted(kit.os.sched_getaffinity(0))
            if len(self.cpus) < 2:
                raise kit.BenchError('this needs two processors')
            names = kit.chosen(options, ['corvid', 'off', 'go'])
            kit.require('gcc')
            self.client = kit.build_c('rescue_client')
            self.programs = {'corvid': kit.build_ours('tests/bench/rescue')}
            if 'go' in names:
                kit.require('go')
                self.programs['go'] = kit.build_go('rescue')
            for gap in options.gaps:
                pause = f'{gap} ms between' if gap else 'a yield between'
                # With pauses a part of the requests meets one, so the median says less.
                off = ('p99_us' if gap else 'p50_us', 'off', 'at least', 50000, statistics.median)
                report = Bounded(f'{options.rate} requests/s in open loop on {options.connections} '
                                 'sockets of a worker that computes 100 ms at a time, '
                                 f'{pause}; off: no stealing', self.metrics,
                                 self.bounds + [off])
                kit.alternate(report, options.rounds, names,
                              lambda name, gap=gap: self.measure(name, gap, options))
                yield report

    class Stealing:
        name = 'stealing'
        help = 'what stealing costs balanced work, and makes of work born on one worker (11 rounds)'
        metrics = [('scaling', 'scaling', 3), ('balanced', 'balanced', 3), ('long', 'long', 3),
                   ('short', 'short', 3), ('steals', 'steals', 0)]
        bounds = [('balanced', 'corvid', 'at least', 0.98, statistics.median),
                  ('long', 'corvid', 'at least', 0.95, statistics.median),
                  ('short', 'corvid', 'at least', 0.95, statistics.median)]
        good = 1.9

        def add_options(self, parser):
            parser.set_defaults(rounds=11)
            parser.add_argument('--units', type=kit.positive, default=20000,
                                help='of work in each measurement, some 50 us each (20000)')
            parser.add_argument('--tries', type=kit.positive, default=100,
                                help='rounds at most, with those thrown away (100)')

        def measure(self, *argv):
            return kit.run_figures([self.program, argv[0], str(self.units), *argv[1:]])

        def round(self, number):
            """The machine before and after; between them the runtime, in another order each time."""
            kinds = [('balanced', 'on'), ('balanced', 'off'), ('long', 'on'), ('short', 'on')]
            before = self.measure('calibrate')
            done = {}
            for kind in kinds[number % 4:] + kinds[:number % 4]:
                done[kind] = self.measure(*kind)
            after = self.measure('calibrate')
            two = (before['two'] + after['two']) / 2
            return {'scaling': min(c['one'] / c['two'] for c in (before, after)),
                    'balanced': done['balanced', 'off']['seconds'] / done['balanced', 'on']['seconds'],
                    'long': two / done['long', 'on']['seconds'],
                    'short': two / done['short', 'on']['seconds'],
                    'steals': done['short', 'on']['steals']}

        def run(self, options):
            self.units = options.units
            self.program = kit.build_ours('tests/bench/stealing')
            report = Bounded('computing on two workers; balanced: speed with stealing, without it '
                             'being 1; long, short: speed of work born on one worker, the machine '
                             'being 1', self.metrics, self.bounds)
            thrown = 0
            for number in range(options.tries):
                figures = self.round(number)
                kept = figures['scaling'] >= self.good
                print(f'  round {number + 1}  ' + ', '.join(
                    f'{heading} {figures[key]:.{decimals}f}'
                    for key, heading, decimals in self.metrics) + ('' if kept else '  thrown away'),
                    flush=True)
                if kept:
                    report.rounds.append({'corvid': figures})
                thrown += not kept
                if len(report.rounds) == options.rounds:
                    break
            if len(report.rounds) < options.rounds:
                raise kit.BenchError(f'only {len(report.rounds)} rounds of {options.rounds} with a '
                                     f'scaling of {self.good}: the machine is not quiet')
            report.title += f' ({thrown} rounds thrown away)'
            yield report
            self.quartiles(report)

        def quartiles(self, report):
            for key in ('scaling', 'balanced', 'long', 'short'):
                values = [done['corvid'][key] for done in report.rounds]
                low, middle, high = statistics.quantiles(values, n=4)
                print(f'  {key:22}{"quartiles":>16} {low:10.3f}{middle:10.3f}{high:10.3f}')

    return [Rescue(), Stealing()]
