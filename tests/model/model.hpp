/* SPDX-License-Identifier: MIT */
/*
 * model.hpp - what the Relacy models of this folder share: names for memory that the simulator
 * watches, and the driver that runs a protocol and its mutants.
 *
 * A model is a struct with N threads that Relacy executes under every interleaving and, for
 * atomics, under every value that the C11 memory model lets a load return, up to the bounds of the
 * search. A mutant is the same model with one step broken: `mutated(NAME)` is true in it and in no
 * other run. The protocol has to survive every search, each mutant has to be caught by one.
 *
 * Every run is a child process of its own, because Relacy does not clean up after a failure.
 */
#ifndef TESTS_MODEL_MODEL_HPP
#define TESTS_MODEL_MODEL_HPP

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#include <relacy/relacy.hpp>
#pragma GCC diagnostic pop

namespace model
{

typedef rl::memory_order order;
const order relaxed = rl::mo_relaxed;
const order acquire = rl::mo_acquire;
const order release = rl::mo_release;
const order acq_rel = rl::mo_acq_rel;
const order seq_cst = rl::mo_seq_cst;

struct run;

/* What a run does first, in its own process. */
static void (*prepare)(run const &);

/* A mutant may also loop for ever between two steps: no execution takes seconds of the processor. */
static unsigned long executions_begun;

static void mind_hang(int)
{
    static unsigned long before = ~0ul;

    if (before == executions_begun)
        abort();
    before = executions_begun;
}

static void watch_for_hangs()
{
    struct itimerval every = {{4, 0}, {4, 0}};

    signal(SIGVTALRM, mind_hang);
    setitimer(ITIMER_VIRTUAL, &every, NULL);
}

/* The mutant and the scenario of this process. 0 is the protocol as it is meant. */
static int mutant_now;
static int scenario_now;

/* Is this run the mutant `m`? */
static inline bool mutated(int m)
{
    return mutant_now == m;
}

/* The order an access has: `good`, or `weak` in mutant `m`. */
static inline order order_of(order good, int m, order weak)
{
    return mutated(m) ? weak : good;
}

/* Where an access stands, for the history that `--show` prints. */
#define MODEL_HERE                                                                    \
    rl::debug_info const &at = rl::debug_info(__builtin_FUNCTION(), __builtin_FILE(), \
                                              static_cast<unsigned>(__builtin_LINE()))

/* An atomic object. */
template <typename T> class atomic
{
    rl::atomic<T> cell;

  public:
    T load(order o, MODEL_HERE) const
    {
        return cell.load(o, at);
    }
    void store(T v, order o, MODEL_HERE)
    {
        cell.store(v, o, at);
    }
    T exchange(T v, order o, MODEL_HERE)
    {
        return cell.exchange(v, o, at);
    }
    T fetch_add(T v, order o, MODEL_HERE)
    {
        return cell.fetch_add(v, o, at);
    }
    T fetch_sub(T v, order o, MODEL_HERE)
    {
        return cell.fetch_sub(v, o, at);
    }
    T fetch_or(T v, order o, MODEL_HERE)
    {
        return cell.fetch_or(v, o, at);
    }
    T fetch_and(T v, order o, MODEL_HERE)
    {
        return cell.fetch_and(v, o, at);
    }
    /* Strong compare-and-swap; on failure `seen` is what was found. */
    bool cas(T &seen, T v, order o, MODEL_HERE)
    {
        return cell.compare_exchange_strong(seen, v, o, at);
    }
    /* The same with an order of its own for failure. */
    bool cas2(T &seen, T v, order o, order failure, MODEL_HERE)
    {
        return cell.compare_exchange_strong(seen, v, o, at, failure, at);
    }
};

/* Plain memory: accesses without order between them, one of them a write, are a data race. */
template <typename T> class plain
{
    rl::var<T> cell;

  public:
    T get(MODEL_HERE) const
    {
        return cell(at).load();
    }
    void set(T v, MODEL_HERE)
    {
        cell(at).store(v);
    }
};

/* A lock as the runtime has them; also RAII. */
class lock
{
    rl::mutex m;

  public:
    void take(MODEL_HERE)
    {
        m.lock(at);
    }
    void give(MODEL_HERE)
    {
        m.unlock(at);
    }
};

class locked
{
    lock &l;
    locked(locked const &);

  public:
    explicit locked(lock &which, MODEL_HERE) : l(which)
    {
        l.take(at);
    }
    ~locked()
    {
        l.give();
    }
};

/*
 * Something outside the protocol that a thread blocks in: a run queue, the kernel's epoll, an
 * eventfd. When everybody blocks, Relacy reports a deadlock; that is how a lost wake-up shows.
 */
class gate
{
    rl::semaphore<gate> s;

  public:
    void open(unsigned tokens = 0, MODEL_HERE)
    {
        s.init(false, tokens, 1000, at);
    }
    void close(MODEL_HERE)
    {
        s.deinit(at);
    }
    void post(MODEL_HERE)
    {
        unsigned before = 0;
        s.post(1, before, at);
    }
    void wait(MODEL_HERE)
    {
        s.wait(false, false, at);
    }
};

#define MODEL_ASSERT(x) RL_ASSERT(x)

/* One search: context bound `bound` (0: random schedules), at most `executions` executions. */
struct search {
    unsigned bound;
    unsigned long executions;
};

/* One run of the table: a mutant (0: none) in a scenario. */
struct run {
    int mutant;
    int scenario;
    const char *name;    /* of the mutant or of the scenario */
    const char *changes; /* NULL, or: the mutant is a change to the text of a file of the runtime */
};

struct verdict {
    bool passed;
    bool complete;
    unsigned long executions;
    char why[96];
};

/*
 * Random schedules. Relacy's own scheduler picks a thread anew at each step, with few distinct
 * schedules; bugs that need one thread to be far ahead of another hide from it. Here each execution
 * draws how long a thread tends to stay on and how often a load returns an older value.
 */
template <rl::thread_id_t N>
class wanderer : public rl::scheduler<wanderer<N>, rl::scheduler_thread_info, N>
{
    typedef rl::scheduler<wanderer<N>, rl::scheduler_thread_info, N> base;

    uint64_t state;
    unsigned stay;  /* of 64 steps, how many stay with the thread */
    unsigned stale; /* of 64 loads that may be stale, how many are, per step back */

    unsigned draw(unsigned limit)
    {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return static_cast<unsigned>((state >> 24) % limit);
    }

  public:
    struct task_t {
    };

    wanderer(rl::test_params &p, typename base::shared_context_t &c, rl::thread_id_t dynamic)
        : base(p, c, dynamic), state(1), stay(0), stale(0)
    {
    }

    rl::thread_id_t iteration_begin_impl()
    {
        static const unsigned stays[] = {0, 32, 48, 56, 60};
        static const unsigned stales[] = {32, 8, 2};
        rl::unpark_reason why;

        state = (this->iter_ + 1) * 0x9e3779b97f4a7c15u;
        for (int i = 0; i < 8; i++)
            draw(2);
        stay = stays[draw(5)];
        stale = stales[draw(3)];
        return schedule_impl(why, 1);
    }

    bool iteration_end_impl()
    {
        return this->iter_ == this->params_.iteration_count;
    }

    rl::thread_id_t schedule_impl(rl::unpark_reason &why, unsigned yielded)
    {
        why = rl::unpark_reason_normal;
        if (!yielded && this->thread_ && this->thread_->state_ == rl::thread_state_running &&
            draw(64) < stay)
            return this->thread_->index_;
        return this->running_threads[draw(static_cast<unsigned>(this->running_threads_count))];
    }

    unsigned rand_impl(unsigned limit, rl::sched_type what)
    {
        if (what == rl::sched_type_atomic_load && limit == 2)
            return draw(64) < stale;
        return draw(limit);
    }

    rl::iteration_t iteration_count_impl()
    {
        return this->params_.iteration_count;
    }
    void get_state_impl(std::ostream &)
    {
    }
    void set_state_impl(std::istream &)
    {
    }
    void on_thread_block(rl::thread_id_t, bool)
    {
    }
};

/* Relacy runs a bounded search to its end, however long that is; this ends it early. */
static unsigned long executions_allowed;

template <typename T> struct capped : T {
    void before()
    {
        if (++executions_begun > executions_allowed)
            RL_UNTIL(true);
        T::before();
    }
};

template <typename T>
static rl::test_result_e run_once(rl::test_params &p, rl::ostringstream &state, bool again)
{
    static rl::thread_id_t const threads = T::params::thread_count;

    if (p.search_type == rl::random_scheduler_type)
        return rl::run_test<capped<T>, wanderer<threads>>(p, state, again);
    return rl::run_test<capped<T>, rl::context_bound_scheduler<threads>>(p, state, again);
}

template <typename T> static verdict simulate(search const &s, bool show)
{
    rl::test_params p;
    rl::test_result_e result;
    rl::ostringstream state;
    std::ostringstream sink;
    verdict v;

    p.search_type = s.bound ? rl::fair_context_bound_scheduler_type : rl::random_scheduler_type;
    p.context_bound = s.bound;
    p.iteration_count = static_cast<rl::iteration_t>(s.executions);
    p.execution_depth_limit = 3000;
    p.progress_output_period = 1000000000;
    p.progress_stream = &sink;
    p.output_stream = &sink;
    executions_begun = 0;
    executions_allowed = s.executions;
    /* Not rl::simulate, which always repeats a failed execution to record its history. */
    result = run_once<T>(p, state, false);
    v.passed = result == rl::test_result_success || result == rl::test_result_until_condition_hit;
    v.complete = s.bound && result == rl::test_result_success;
    v.executions = static_cast<unsigned long>(p.stop_iteration);
    snprintf(v.why, sizeof(v.why), "%s", v.passed ? "" : rl::test_result_str(result));
    if (show && !v.passed) {
        executions_begun = 0;
        p.initial_state = state.str();
        p.output_stream = &std::cout;
        p.collect_history = true;
        p.output_history = true;
        run_once<T>(p, state, true);
        std::cout.flush();
    }
    return v;
}

/*
 * The driver. `protocol` are the scenarios that must pass, `mutants` what must be caught. In the
 * short form the protocol gets the searches of `brief`, in the long form those of `full`; mutants
 * get `hunt`, and twenty times that in the long form.
 */
template <typename T> class driver
{
    const char *name;
    bool full;
    const char *show;
    unsigned jobs;
    unsigned passed, failed;

    struct child {
        pid_t pid;
        int fd;
        std::vector<search> searches;
        run what;
        bool shown;
    };
    std::vector<child> children;

    static verdict one(child const &c)
    {
        verdict sum = verdict();

        watch_for_hangs();
        if (prepare)
            prepare(c.what);
        mutant_now = c.what.mutant;
        scenario_now = c.what.scenario;
        sum.passed = true;
        sum.complete = true;
        for (size_t i = 0; i < c.searches.size(); i++) {
            verdict v = simulate<T>(c.searches[i], c.shown);

            sum.executions += v.executions;
            sum.complete = sum.complete && (v.complete || !c.searches[i].bound);
            if (!v.passed) {
                v.executions = sum.executions;
                v.complete = false;
                return v;
            }
        }
        return sum;
    }

    void start(child &c)
    {
        int ends[2];

        fflush(stdout);
        if (pipe(ends) < 0) {
            perror("pipe");
            exit(2);
        }
        c.pid = fork();
        if (c.pid < 0) {
            perror("fork");
            exit(2);
        }
        if (c.pid == 0) {
            verdict v = one(c);
            ssize_t n = write(ends[1], &v, sizeof(v));

            _exit(n == static_cast<ssize_t>(sizeof(v)) ? 0 : 2);
        }
        close(ends[1]);
        c.fd = ends[0];
    }

    void end(child &c)
    {
        verdict v = verdict();
        ssize_t n = read(c.fd, &v, sizeof(v));
        int status = 0;
        bool good;

        close(c.fd);
        waitpid(c.pid, &status, 0);
        if (n != static_cast<ssize_t>(sizeof(v))) {
            /* A mutant that corrupts memory is caught; one that did not run proves nothing. */
            v.passed = c.what.mutant != 0 && !WIFSIGNALED(status);
            snprintf(v.why, sizeof(v.why),
                     WIFSIGNALED(status) ? "it crashed or hung" : "it did not run");
        }
        good = v.passed == (c.what.mutant == 0);
        if (good)
            passed++;
        else
            failed++;
        report(c, v, good);
    }

    void report(child const &c, verdict const &v, bool good)
    {
        if (c.what.mutant == 0) {
            printf("%-10s protocol %-40s %10lu executions  %s%s%s\n", name, c.what.name,
                   v.executions,
                   good ? "passed, " : "FAILED: ", good && v.complete ? "complete to " : "",
                   good ? bounds(c).c_str() : v.why);
        } else {
            printf("%-10s mutant   %-40s %10lu executions  %s%s%s\n", name, c.what.name,
                   v.executions, good ? "caught" : "MISSED", *v.why ? ": " : "", v.why);
        }
        fflush(stdout);
    }

    std::string bounds(child const &c)
    {
        std::ostringstream s;
        unsigned most = 0;

        for (size_t i = 0; i < c.searches.size(); i++)
            most = c.searches[i].bound > most ? c.searches[i].bound : most;
        if (most)
            s << "bound " << most;
        else
            s << "random";
        return s.str();
    }

  public:
    driver(const char *which, int argc, char **argv)
        : name(which), full(false), show(NULL), jobs(1), passed(0), failed(0)
    {
        for (int i = 1; i < argc; i++) {
            if (!strcmp(argv[i], "--long"))
                full = true;
            else if (!strcmp(argv[i], "--short"))
                full = false;
            else if (!strcmp(argv[i], "--jobs") && i + 1 < argc)
                jobs = static_cast<unsigned>(atoi(argv[++i]));
            else if (!strcmp(argv[i], "--show") && i + 1 < argc)
                show = argv[++i];
            else {
                fprintf(stderr, "usage: %s [--short|--long] [--jobs N] [--show MUTANT]\n", argv[0]);
                exit(2);
            }
        }
        if (jobs < 1)
            jobs = 1;
    }

    void add(run const &r, std::vector<search> const &brief, std::vector<search> const &thorough)
    {
        child c;

        if (show && strcmp(show, r.name))
            return;
        c.pid = 0;
        c.fd = -1;
        c.what = r;
        c.shown = show != NULL;
        c.searches = full ? thorough : brief;
        children.push_back(c);
    }

    static std::string first_word(const char *s)
    {
        return std::string(s, strcspn(s, " ,:"));
    }

    /*
     * Adds the mutants of NAME.mutants (see real.cpp): each names its scenario by the first word.
     */
    void add_changes(const char *const *scenarios, int count, std::vector<search> const &brief,
                     std::vector<search> const &thorough)
    {
        std::ifstream list((std::string(name) + ".mutants").c_str());
        std::string line;

        if (!list) {
            fprintf(stderr, "%s.mutants is not there\n", name);
            exit(2);
        }
        while (std::getline(list, line)) {
            std::istringstream words(line);
            std::string mutant, scenario;
            run r = {1000, -1, NULL, "text"};

            words >> mutant >> scenario;
            if (mutant.empty() || mutant[0] == '#')
                continue;
            for (int i = 0; i < count; i++)
                r.scenario = scenario == first_word(scenarios[i]) ? i : r.scenario;
            if (r.scenario < 0) {
                fprintf(stderr, "%s.mutants: no scenario '%s'\n", name, scenario.c_str());
                exit(2);
            }
            r.name = strdup(mutant.c_str());
            add(r, brief, thorough);
        }
    }

    /* Runs what was added. Returns the exit status. */
    int finish()
    {
        size_t begun = 0;

        for (size_t i = 0; i < children.size(); i++) {
            while (begun < children.size() && begun < i + jobs)
                start(children[begun++]);
            end(children[i]);
        }
        printf("%-10s %u passed, %u failed\n", name, passed, failed);
        return failed ? 1 : 0;
    }
};

/* Lists of searches, short to write: searches(0, 100000)(2, 5000000). */
class searches
{
    std::vector<search> list;

  public:
    searches(unsigned bound, unsigned long executions)
    {
        (*this)(bound, executions);
    }
    searches &operator()(unsigned bound, unsigned long executions)
    {
        search s = {bound, executions};

        list.push_back(s);
        return *this;
    }
    operator std::vector<search> const &() const
    {
        return list;
    }
};

} /* namespace model */

#endif
