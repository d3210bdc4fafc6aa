// SPDX-License-Identifier: MIT
//
// sched measures Boost.Fiber with its work-stealing scheduler as ../sched.c measures Corvid; the lines have
// the same names and do the same. Lines for which it has nothing are missing: semaphore, rwlock, event, wait
// group, once, select, blocking calls.
//
// usage: sched LINE THREADS COUNT
#include <boost/fiber/all.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <thread>
#include <vector>

namespace fibers = boost::fibers;
using namespace std::chrono_literals;

namespace
{

constexpr int crew = 8, parties = 4, sleepers = 100000;
constexpr std::size_t stack_size = 65536; // as Corvid's

int threads;

struct moment {
    double ns, cpu;
};

moment now_and_cpu()
{
    timespec now{}, cpu{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    return {now.tv_sec * 1e9 + now.tv_nsec, cpu.tv_sec * 1e9 + cpu.tv_nsec};
}

moment begun, ended;

void begin()
{
    begun = now_and_cpu();
}

void end()
{
    ended = now_and_cpu();
}

// Stacks without guard pages, which would cost two system calls each.
template <typename Fn> fibers::fiber start(Fn &&fn, std::size_t size = stack_size)
{
    return fibers::fiber(fibers::launch::post, std::allocator_arg, fibers::fixedsize_stack(size),
                         std::forward<Fn>(fn));
}

template <typename Fn> void together(int n, Fn fn)
{
    std::vector<fibers::fiber> all;
    for (int i = 0; i < n; i++)
        all.push_back(start([i, &fn] { fn(i); }));
    for (auto &one : all)
        one.join();
}

void yield_many(long count, int n)
{
    together(n, [=](int) {
        for (long i = count / n; i > 0; i--)
            boost::this_fiber::yield();
    });
}

// A signal on the lowest layer that is public: a context, suspended and scheduled.
struct cell {
    fibers::detail::spinlock lock;
    fibers::context *waiter = nullptr;
    bool given = false;

    void give()
    {
        fibers::detail::spinlock_lock held(lock);
        fibers::context *who = waiter;
        waiter = nullptr;
        if (!who)
            given = true;
        held.unlock();
        if (who)
            fibers::context::active()->schedule(who);
    }

    void take()
    {
        fibers::detail::spinlock_lock held(lock);
        if (given) {
            given = false;
            return;
        }
        waiter = fibers::context::active();
        waiter->suspend(held);
    }
};

void wake_in_turn(int index, long count, cell *cells)
{
    for (long i = count; i > 0; i--) {
        if (index == 1)
            cells[0].give();
        cells[index].take();
        if (index == 0)
            cells[1].give();
    }
}

void park(long count)
{
    cell cells[2];
    together(2, [&](int index) { wake_in_turn(index, count, cells); });
}

// Two fibers stay apart if each is the first fiber of a thread.
void apart(long count)
{
    cell cells[2];
    fibers::promise<void> over;
    std::thread other([&] {
        fibers::use_scheduling_algorithm<fibers::algo::round_robin>();
        wake_in_turn(0, count, cells);
        over.set_value();
    });
    wake_in_turn(1, count, cells);
    over.get_future().wait();
    other.join();
}

// A pool of stacks is faster, but serves one thread only.
template <typename Stacks> void spawn_from(Stacks &stacks, long count)
{
    for (long i = 0; i < count; i++)
        fibers::fiber(fibers::launch::post, std::allocator_arg, stacks, [] {}).join();
}

void spawn(long count)
{
    if (threads == 1) {
        fibers::pooled_fixedsize_stack pool(stack_size);
        spawn_from(pool, count);
    } else {
        fibers::fixedsize_stack stacks(stack_size);
        spawn_from(stacks, count);
    }
}

template <typename Stacks> void group_from(Stacks &stacks, long count)
{
    for (long i = 0; i < count / 10; i++) {
        fibers::fiber members[10];
        for (auto &member : members)
            member = fibers::fiber(fibers::launch::post, std::allocator_arg, stacks, [] {});
        for (auto &member : members)
            member.join();
    }
}

void group(long count)
{
    if (threads == 1) {
        fibers::pooled_fixedsize_stack pool(stack_size);
        group_from(pool, count);
    } else {
        fibers::fixedsize_stack stacks(stack_size);
        group_from(stacks, count);
    }
}

using sums_type = fibers::buffered_channel<long>;

// Small stacks, and a child runs at once: so few are alive at a time.
void node(fibers::fixedsize_stack &stacks, sums_type &parent, long first, long size)
{
    if (size == 1) {
        parent.push(first);
        return;
    }
    sums_type sums(16); // a power of two, of which one place stays empty
    for (long i = 0; i < 10; i++)
        fibers::fiber(fibers::launch::dispatch, std::allocator_arg, stacks, node, std::ref(stacks),
                      std::ref(sums), first + i * size / 10, size / 10)
            .detach();
    long sum = 0;
    for (int i = 0; i < 10; i++)
        sum += sums.value_pop();
    parent.push(sum);
}

void skynet(long count)
{
    fibers::fixedsize_stack stacks(2 * fibers::fixedsize_stack::traits_type::page_size());
    sums_type top(2);
    fibers::fiber(fibers::launch::post, std::allocator_arg, stacks, node, std::ref(stacks),
                  std::ref(top), 0L, count)
        .detach();
    if (top.value_pop() != count * (count - 1) / 2)
        abort();
}

// --- channels

void pingpong(long count)
{
    fibers::unbuffered_channel<long> there, back;
    together(2, [&](int index) {
        for (long i = 0; i < count; i++) {
            if (index == 1) {
                there.push(i);
                back.value_pop();
            } else {
                back.push(there.value_pop());
            }
        }
    });
}

void buffered(long count)
{
    fibers::buffered_channel<long> values(128);
    together(2, [&](int index) {
        for (long i = 0; i < count; i++) {
            if (index == 0)
                values.push(i);
            else
                values.value_pop();
        }
    });
}

// --- locks and the like

void mutex(long count)
{
    fibers::mutex m;
    for (long i = 0; i < count; i++) {
        m.lock();
        m.unlock();
    }
}

void lock_many(long count, bool yields)
{
    fibers::mutex m;
    long number = 0;
    together(crew, [&](int) {
        for (long i = 0; i < count / crew; i++) {
            m.lock();
            number++;
            if (yields)
                boost::this_fiber::yield();
            m.unlock();
        }
    });
    if (number != count / crew * crew)
        abort();
}

void cond(long count)
{
    fibers::mutex m;
    fibers::condition_variable conds[2];
    long number = 0;
    together(2, [&](int index) {
        std::unique_lock<fibers::mutex> held(m);
        for (long i = 0; i < count; i++) {
            conds[index].wait(held, [&] { return number % 2 == index; });
            number++;
            conds[1 - index].notify_one();
        }
    });
}

void barrier(long count)
{
    fibers::barrier all(parties);
    together(parties, [&](int) {
        for (long i = 0; i < count; i++)
            all.wait();
    });
}

// --- time

template <typename Fn> void among_sleepers(Fn fn)
{
    fibers::mutex m;
    fibers::condition_variable morning;
    bool up = false;
    int asleep = 0;
    std::vector<fibers::fiber> all;

    for (int i = 0; i < sleepers; i++)
        all.push_back(start(
            [&] {
                std::unique_lock<fibers::mutex> held(m);
                asleep++;
                morning.wait_for(held, 1h, [&] { return up; });
            },
            16384));
    while (asleep < sleepers)
        boost::this_fiber::yield();
    begin();
    fn();
    end();
    m.lock();
    up = true;
    m.unlock();
    morning.notify_all();
    for (auto &one : all)
        one.join();
}

void deadline(long count)
{
    fibers::buffered_channel<long> values(2);
    among_sleepers([&] {
        for (long i = 0; i < count; i++) {
            long got;
            values.push(i);
            if (values.pop_wait_for(got, 30s) != fibers::channel_op_status::success)
                abort();
        }
    });
}

void timer(long count)
{
    fibers::unbuffered_channel<long> ways[2];
    among_sleepers([&] {
        together(2, [&](int index) {
            for (long i = 0; i < count; i++) {
                long got;
                if (index == 1)
                    ways[0].push(i);
                if (ways[index].pop_wait_for(got, 30s) != fibers::channel_op_status::success)
                    abort();
                if (index == 0)
                    ways[1].push(i);
            }
        });
    });
}

// A thread of its own makes the call; a future says that it is done.
void offload(long count)
{
    fibers::unbuffered_channel<fibers::packaged_task<int()>> calls;
    std::thread other([&] {
        fibers::packaged_task<int()> one;
        while (calls.pop(one) == fibers::channel_op_status::success)
            one();
    });
    long made = 0;
    for (long i = 0; i < count; i++) {
        fibers::packaged_task<int()> one([&] {
            made++;
            return 0;
        });
        auto result = one.get_future();
        calls.push(std::move(one));
        result.get();
    }
    calls.close();
    other.join();
}

struct line {
    const char *name;
    std::function<void(long)> fn;
};

const line lines[] = {
    {"yield", [](long n) { yield_many(n, 2); }},
    {"yield64", [](long n) { yield_many(n, 64); }},
    {"park", park},
    {"apart", apart},
    {"spawn", spawn},
    {"member", spawn},
    {"group", group},
    {"skynet", skynet},
    {"pingpong", pingpong},
    {"buffered", buffered},
    {"mutex", mutex},
    {"mutexwait", [](long n) { lock_many(n, true); }},
    {"mutexrun", [](long n) { lock_many(n, false); }},
    {"cond", cond},
    {"barrier", barrier},
    {"deadline", deadline},
    {"timer", timer},
    {"offload", offload},
};

void measure(const line &one, long count)
{
    if (count >= 10)
        one.fn(count / 10);
    ended = {0, 0};
    begin();
    one.fn(count);
    if (ended.ns == 0)
        end();
}

} // namespace

int main(int argc, char **argv)
{
    const line *found = nullptr;
    for (const line &one : lines) {
        if (argc == 4 && strcmp(one.name, argv[1]) == 0)
            found = &one;
    }
    if (!found) {
        std::fprintf(stderr, "usage: sched LINE THREADS COUNT\n");
        return 2;
    }
    threads = std::atoi(argv[2]);
    long count = std::atol(argv[3]);
    const bool rests =
        true; // a thread without work sleeps; else it would spin, and use up CPU time
    fibers::mutex m;
    fibers::condition_variable over;
    bool done = false;
    std::vector<std::thread> others;
    for (int i = 1; i < threads; i++)
        others.emplace_back([&] {
            fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(threads, rests);
            std::unique_lock<fibers::mutex> held(m);
            over.wait(held, [&] { return done; });
        });
    // Alone and without work, work_stealing looks for ever for another one to steal from.
    if (threads == 1 && strcmp(argv[1], "offload") == 0)
        fibers::use_scheduling_algorithm<fibers::algo::round_robin>();
    else
        fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(threads, rests);
    measure(*found, count);
    m.lock();
    done = true;
    m.unlock();
    over.notify_all();
    for (auto &one : others)
        one.join();
    std::printf("ns %.1f\ncpu_ns %.1f\n", (ended.ns - begun.ns) / double(count),
                (ended.cpu - begun.cpu) / double(count));
    return 0;
}
