/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_task.c - starting, yielding, sleeping, and the life of co_run. */
#include <co/task.h>

#include "stack.h"
#include "support/run.h"
#include <co/group.h>
#include <co/park.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

TestSuite(task, .timeout = 30);

static _Atomic int count;

static void count_up(void *arg)
{
    atomic_fetch_add(&count, arg ? *(int *)arg : 1);
}

/* ---- co_run ---- */

static int return_it(void *arg)
{
    return *(int *)arg;
}

Test(task, co_run_returns_what_the_first_function_returned)
{
    const int results[] = {0, 1, 42, INT32_MAX, -1, -EPERM, INT32_MIN};

    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        int result = results[i];

        cr_assert_eq(co_run(return_it, &result), result);
    }
}

static void spread(void *arg)
{
    int depth = (int)(intptr_t)arg;

    atomic_fetch_add(&count, 1);
    if (depth > 0) {
        start(spread, (void *)(intptr_t)(depth - 1));
        start(spread, (void *)(intptr_t)(depth - 1));
    }
}

static int spread_main(void *arg)
{
    start(spread, arg);
    return 0;
}

Test(task, co_run_comes_back_when_all_that_was_started_has_ended)
{
    for (int threads = 1; threads <= 4; threads++) {
        atomic_store(&count, 0);
        run_on(threads, spread_main, (void *)(intptr_t)8);
        cr_assert_eq(count, 511, "%d on %d workers", count, threads);
    }
}

static void rest(void *arg)
{
    CHECK(co_sleep(*(int64_t *)arg) == 0);
    atomic_fetch_add(&count, 1);
}

static int rest_after_main(void *arg)
{
    static int64_t span = 30 * CO_MS;

    (void)arg;
    for (int i = 0; i < 10; i++)
        start(rest, &span);
    return 0;
}

Test(task, co_run_waits_for_sleepers)
{
    run_on(2, rest_after_main, NULL);
    cr_assert_eq(count, 10);
}

static void *run_in_thread(void *arg)
{
    int zero = 0;

    (void)arg;
    return (void *)(intptr_t)co_run(return_it, &zero);
}

static int run_again(void *arg)
{
    int zero = 0;
    pthread_t thread;
    void *r = NULL;

    (void)arg;
    CHECK(co_run(return_it, &zero) == -EPERM);
    CHECK(pthread_create(&thread, NULL, run_in_thread, NULL) == 0);
    CHECK(pthread_join(thread, &r) == 0);
    CHECK((intptr_t)r == -EBUSY);
    return 0;
}

Test(task, only_one_runtime_runs_at_once_and_none_in_a_coroutine)
{
    int zero = 0;

    run_on(2, run_again, NULL);
    cr_assert_eq(co_run(return_it, &zero), 0, "and then another may");
}

Test(task, settings_out_of_range_are_refused)
{
    struct co_conf conf = settings(257);
    int zero = 0;

    cr_assert_eq(co_run_with(&conf, return_it, &zero), -EINVAL);
    conf = settings(-1);
    cr_assert_eq(co_run_with(&conf, return_it, &zero), -EINVAL);
    conf = settings(1);
    conf.stack_size = 100;
    cr_assert_eq(co_run_with(&conf, return_it, &zero), -EINVAL);
    cr_assert_eq(co_run_with(NULL, return_it, &zero), 0);
}

static int ask_who(void *arg)
{
    CHECK(co_workers() == *(int *)arg);
    CHECK(co_worker() >= 0 && co_worker() < co_workers());
    CHECK(co_self() >= 1);
    return 0;
}

Test(task, a_runtime_has_as_many_workers_as_asked_for)
{
    const int threads[] = {1, 2, 3, 64, 256};

    cr_assert_eq(co_workers(), 0);
    cr_assert_eq(co_worker(), -1);
    cr_assert_eq(co_self(), 0);
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        int n = threads[i];

        run_on(n, ask_who, &n);
    }
    cr_assert_eq(co_workers(), 0);
}

Test(task, a_hundred_runtimes_in_a_row_leave_no_descriptor_behind)
{
    int zero = 0;
    int before;

    run_on(2, return_it, &zero);
    before = descriptors();
    for (int i = 0; i < 100; i++)
        run_on(2, spread_main, (void *)(intptr_t)2);
    cr_assert_eq(descriptors(), before);
}

/* ---- the four starts ---- */

Test(task, nothing_starts_where_no_runtime_runs)
{
    int fds[2];

    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    cr_assert_eq(co_go(count_up, NULL), -ECANCELED);
    cr_assert_eq(co_go_copy(count_up, "x", 1), -ECANCELED);
    cr_assert_eq(co_go_with(&(struct co_opts){0}, count_up, NULL), -ECANCELED);
    cr_assert_eq(co_go_fd(NULL, fds[0]), -ECANCELED);
    cr_assert_eq(fcntl(fds[0], F_GETFD), -1, "the descriptor was closed");
    cr_assert_eq(fcntl(fds[1], F_GETFD), FD_CLOEXEC);
    cr_assert_eq(count, 0);
    (void)close(fds[1]);
}

static void read_from(int fd)
{
    char byte = 0;

    CHECK(read(fd, &byte, 1) == 1 && byte == 'x');
    (void)close(fd);
    atomic_fetch_add(&count, 1);
}

static int start_with_fd(void *arg)
{
    int fds[2];

    (void)arg;
    CHECK(pipe2(fds, O_CLOEXEC) == 0);
    CHECK(write(fds[1], "x", 1) == 1);
    CHECK(co_go_fd(read_from, fds[0]) == 0);
    until(&count, 1);
    CHECK(fcntl(fds[0], F_GETFD) == -1);
    (void)close(fds[1]);
    return 0;
}

Test(task, a_descriptor_passes_to_the_coroutine_that_is_started_with_it)
{
    run_on(2, start_with_fd, NULL);
}

/* What a copy holds says how long it is. */
struct letter {
    uint16_t size;
    unsigned char body[CO_COPY_MAX];
};

static void read_letter(void *arg)
{
    unsigned char *copy = arg;
    uint16_t size;

    CHECK((uintptr_t)copy % 16 == 0);
    memcpy(&size, copy, sizeof size);
    for (uint16_t i = sizeof size; i < size; i++)
        CHECK(copy[i] == (unsigned char)(size * 7 + i));
    (void)co_yield();
    memset(copy, 0, size); /* it is the coroutine's own */
    (void)co_yield();
    for (uint16_t i = 0; i < size; i++)
        CHECK(copy[i] == 0);
    atomic_fetch_add(&count, 1);
}

static int send_letters(void *arg)
{
    struct letter letter;

    (void)arg;
    for (uint16_t size = sizeof size; size <= CO_COPY_MAX; size++) {
        unsigned char *bytes = (unsigned char *)&letter;

        for (uint16_t i = 0; i < size; i++)
            bytes[i] = (unsigned char)(size * 7 + i);
        letter.size = size;
        CHECK(co_go_copy(read_letter, &letter, size) == 0);
        memset(&letter, 0xee, sizeof letter); /* the copy was taken */
    }
    CHECK(co_go_copy(read_letter, &letter, CO_COPY_MAX + 1) == -EINVAL);
    return 0;
}

Test(task, a_copy_of_every_size_arrives_whole_aligned_and_writable)
{
    run_on(1, send_letters, NULL);
    run_on(3, send_letters, NULL);
    cr_assert_eq(count, 2 * (CO_COPY_MAX - 1));
}

static void take_nothing(void *arg)
{
    CHECK(arg != NULL && (uintptr_t)arg % 16 == 0);
    atomic_fetch_add(&count, 1);
}

static int copy_nothing(void *arg)
{
    (void)arg;
    CHECK(co_go_copy(take_nothing, "", 0) == 0);
    return 0;
}

Test(task, a_copy_of_nothing_has_an_address)
{
    run_on(1, copy_nothing, NULL);
    cr_assert_eq(count, 1);
}

/* Touches about `size` bytes of stack. */
static __attribute__((noinline)) int dig(size_t size)
{
    volatile char hole[4096];

    hole[0] = 1;
    hole[sizeof hole - 1] = 1;
    return size <= 8192 ? hole[0] : dig(size - 8192) + hole[sizeof hole - 1];
}

static void use_stack(void *arg)
{
    size_t size = *(size_t *)arg;
    int sum = dig(size - size / 4 - 12 * 1024);

    CHECK(sum > 0);
    CHECK(co_yield() == 0);
    atomic_fetch_add(&count, 1);
}

static int own_stacks(void *arg)
{
    static size_t sizes[] = {64 << 10, 100000, 1 << 20, 8 << 20, 64 << 20};
    struct co_opts opts = {.name = "digger"};

    (void)arg;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        opts.stack_size = sizes[i];
        CHECK(co_go_with(&opts, use_stack, &sizes[i]) == 0);
    }
    opts.stack_size = 16 << 10;
    CHECK(co_go_with(&opts, count_up, NULL) == 0);
    until(&count, 6);
    opts.stack_size = (16 << 10) - 1;
    CHECK(co_go_with(&opts, count_up, NULL) == -EINVAL);
    opts.stack_size = (64 << 20) + 1;
    CHECK(co_go_with(&opts, count_up, NULL) == -EINVAL);
    opts.stack_size = 0;
    CHECK(co_go_with(&opts, count_up, NULL) == 0);
    return 0;
}

Test(task, a_stack_of_ones_own_has_the_size_that_was_asked_for)
{
    run_on(2, own_stacks, NULL);
    cr_assert_eq(count, 7);
}

static co_ticket tickets[8];
static _Atomic int waiting;

static int wait_for_ticket(co_ticket self, void *arg)
{
    tickets[(intptr_t)arg] = self;
    atomic_fetch_add(&waiting, 1);
    return 0;
}

static void wait_to_end(void *arg)
{
    CHECK(co_park(wait_for_ticket, arg, 0) == 0);
    atomic_fetch_add(&count, 1);
}

static int start_too_many(void *arg)
{
    (void)arg;
    for (int round = 1; round <= 3; round++) {
        atomic_store(&waiting, 0);
        atomic_store(&count, 0);
        for (intptr_t i = 0; i < 4; i++) {
            int r;

            while ((r = co_go(wait_to_end, (void *)i)) == -EAGAIN && round > 1)
                (void)co_yield(); /* those of the round before may still be ending */
            CHECK(r == 0);
        }
        CHECK(co_go(count_up, NULL) == -EAGAIN); /* the first function is one of the five */
        CHECK(co_go_copy(count_up, "x", 1) == -EAGAIN);
        CHECK(co_go_with(&(struct co_opts){.stack_size = 1 << 20}, count_up, NULL) == -EAGAIN);
        until(&waiting, 4);
        CHECK(co_go(count_up, NULL) == -EAGAIN);
        for (int i = 0; i < 4; i++)
            CHECK(co_unpark(tickets[i], 0));
        until(&count, 4);
        while (co_go(count_up, NULL) == -EAGAIN) /* counted until the very end */
            (void)co_yield();
        until(&count, 5);
        while (co_go(count_up, NULL) == -EAGAIN)
            (void)co_yield();
        until(&count, 6);
    }
    return 0;
}

Test(task, more_coroutines_than_allowed_are_refused_until_one_has_ended)
{
    for (int threads = 1; threads <= 2; threads++) {
        struct co_conf conf = settings(threads);

        conf.max_coroutines = 5;
        cr_assert_eq(run_conf(&conf, start_too_many, NULL), 0);
    }
}

/* ---- starts from plain threads ---- */

enum { STARTERS = 4 };
static int per_starter;
static _Atomic int starters_done;
static _Atomic unsigned char ran[STARTERS * 5000];

static void note(void *arg)
{
    atomic_fetch_add(&ran[(intptr_t)arg], 1);
    atomic_fetch_add(&count, 1);
}

static void *start_many(void *arg)
{
    intptr_t me = (intptr_t)arg;

    for (intptr_t i = 0; i < per_starter; i++) {
        if (i % 2)
            start(note, (void *)(me * per_starter + i));
        else
            CHECK(co_go_with(&(struct co_opts){.pinned = 1, .stack_size = i % 64 ? 0 : 32 << 10},
                             note, (void *)(me * per_starter + i)) == 0);
    }
    atomic_fetch_add(&starters_done, 1);
    return NULL;
}

static int let_them_start(void *arg)
{
    (void)arg;
    until(&starters_done, STARTERS);
    until(&count, STARTERS * per_starter);
    return 0;
}

static void *run_for_starters(void *arg)
{
    struct co_conf conf = settings(3);

    (void)arg;
    CHECK(co_run_with(&conf, let_them_start, NULL) == 0);
    return NULL;
}

Test(task, plain_threads_start_coroutines_that_each_run_once)
{
    static int none = 0;
    pthread_t runner, threads[STARTERS];

    per_starter = fewer(5000);
    cr_assert_eq(pthread_create(&runner, NULL, run_for_starters, NULL), 0);
    while (co_workers() == 0 || co_go(count_up, &none) != 0)
        (void)sched_yield();
    for (intptr_t i = 0; i < STARTERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, start_many, (void *)i), 0);
    for (int i = 0; i < STARTERS; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    cr_assert_eq(pthread_join(runner, NULL), 0);
    no_check_failed();
    for (int i = 0; i < STARTERS * per_starter; i++)
        cr_assert_eq(ran[i], 1);
    cr_assert_eq(co_go(count_up, NULL), -ECANCELED);
}

enum { MANY = 300, ODD_ONES = 20 };

static void meet_the_others(void *arg)
{
    int all = *(int *)arg + MANY;

    count_up(NULL);
    until(&count, all);
}

/* So many at once that their stacks lie idle afterwards. Returns: how many stacks were ever out. */
static size_t many_stacks(void)
{
    int before = atomic_load(&count);
    int64_t ended = stat_of("ended");

    for (int i = 0; i < MANY; i++)
        start(meet_the_others, &before);
    while (stat_of("ended") < ended + MANY)
        CHECK(co_yield() == 0);
    return co__stacks_count().begun;
}

static int count_member(void *arg)
{
    count_up(arg);
    return 0;
}

static void *start_with_size(void *arg)
{
    struct co_opts opts = {.stack_size = 64 << 10}; /* which is the default */

    for (int i = 0; i < ODD_ONES; i++) {
        CHECK(co_go_with(&opts, count_up, NULL) == 0);
        CHECK(co_group_go_with(arg, &opts, count_member, NULL) == 0);
    }
    return NULL;
}

static int start_from_outside(void *arg)
{
    size_t before = many_stacks();
    int counted = atomic_load(&count);
    pthread_t thread;
    CO_GROUP(group);

    (void)arg;
    CHECK(pthread_create(&thread, NULL, start_with_size, &group) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(co_group_wait(&group) == 0);
    until(&count, counted + 2 * ODD_ONES);
    CHECK(many_stacks() == before);
    return 0;
}

Test(task, a_plain_thread_that_says_a_stack_size_takes_no_more_than_its_stack)
{
    run_on(1, start_from_outside, NULL);
}

/* ---- starts while it ends ---- */

static _Atomic int accepted, refused;
static _Atomic bool over;

static void close_and_count(int fd)
{
    (void)close(fd);
    atomic_fetch_add(&count, 1);
}

static void count_one(void *arg)
{
    (void)arg;
    atomic_fetch_add(&count, 1);
}

static int start_somehow(int how)
{
    switch (how % 4) {
    case 0:
        return co_go(count_one, NULL);
    case 1:
        return co_go_fd(close_and_count, dup(STDERR_FILENO));
    case 2:
        return co_go_copy(count_one, "x", 1);
    default:
        return co_go_with(&(struct co_opts){.name = "late", .pinned = how % 8 > 4}, count_one,
                          NULL);
    }
}

/* Starts until the runtime has ended, a few at a time. */
static void *start_to_the_end(void *arg)
{
    int r = 0;

    (void)arg;
    for (int i = 0; !atomic_load(&over) || r == 0; i++) {
        while (atomic_load(&accepted) > atomic_load(&count) + 20)
            (void)sched_yield();
        r = start_somehow(i);
        CHECK(r == 0 || r == -ECANCELED);
        if (r == 0)
            atomic_fetch_add(&accepted, 1);
        else
            atomic_fetch_add(&refused, 1);
        (void)sched_yield();
    }
    return NULL;
}

static int end_among_starts(void *arg)
{
    (void)arg;
    until(&count, 40);
    co_stop(); /* they go on until the grace time is over */
    return 0;
}

Test(task, plain_threads_start_in_every_way_until_the_very_end)
{
    int before = 0;

    for (int round = 0; round < 5; round++) {
        pthread_t threads[2];

        atomic_store(&count, 0);
        atomic_store(&accepted, 0);
        atomic_store(&over, false);
        for (int i = 0; i < 2; i++)
            cr_assert_eq(pthread_create(&threads[i], NULL, start_to_the_end, NULL), 0);
        cr_assert_eq(run_and_stop(2, 5 * CO_MS, end_among_starts), 0);
        atomic_store(&over, true);
        for (int i = 0; i < 2; i++)
            cr_assert_eq(pthread_join(threads[i], NULL), 0);
        no_check_failed();
        cr_assert_eq(count, accepted, "what was accepted ran, and nothing else");
        if (round == 0)
            before = descriptors();
        cr_assert_eq(descriptors(), before, "what was refused was closed");
    }
    cr_assert_gt(refused, 0);
}

/* ---- names ---- */

static void be_named(void *arg)
{
    static const char *const names[] = {"first", "second"};

    (void)arg;
    CHECK(strcmp(co_name(), "given") == 0);
    for (int i = 0; i < 10; i++) {
        CHECK(co_set_name(names[i % 2]) == 0);
        CHECK(co_yield() == 0);
        CHECK(co_name() == names[i % 2]);
    }
    CHECK(co_set_name(NULL) == 0 && co_name() == NULL);
    CHECK(co_set_name("left behind") == 0);
    atomic_fetch_add(&count, 1);
}

static void be_nameless(void *arg)
{
    (void)arg;
    CHECK(co_name() == NULL);
    atomic_fetch_add(&count, 1);
}

static int name_them(void *arg)
{
    (void)arg;
    CHECK(co_name() == NULL);
    CHECK(co_set_name("main") == 0 && strcmp(co_name(), "main") == 0);
    for (int i = 0; i < 10; i++) {
        CHECK(co_go_with(&(struct co_opts){.name = "given"}, be_named, NULL) == 0);
        until(&count, 2 * i + 1);
        start(be_nameless, NULL); /* of the same record, perhaps */
        until(&count, 2 * i + 2);
    }
    return 0;
}

Test(task, a_coroutine_is_named_by_who_starts_it_and_by_itself)
{
    run_on(1, name_them, NULL);
    cr_assert_eq(co_set_name("thread"), -EPERM);
    cr_assert_null(co_name());
}

/* ---- many ---- */

static int start_lots(void *arg)
{
    int n = *(int *)arg;

    for (int i = 0; i < n; i++)
        start(count_up, NULL);
    return 0;
}

Test(task, a_burst_of_short_coroutines_overflows_no_deque)
{
    for (int order = CO_ORDER_FIFO; order <= CO_ORDER_LIFO; order++) {
        struct co_conf conf = settings(2);
        int n = fewer(fewer(100000));

        conf.order = order;
        atomic_store(&count, 0);
        cr_assert_eq(run_conf(&conf, start_lots, &n), 0);
        cr_assert_eq(count, n);
    }
}

static int sleepers_at_once(void *arg)
{
    static int64_t span = 50 * CO_MS;
    int n = *(int *)arg;

    for (int i = 0; i < n; i++)
        start(rest, &span);
    return 0;
}

Test(task, ten_thousand_sleep_at_once)
{
    int n = fewer(10000);

    run_on(2, sleepers_at_once, &n);
    cr_assert_eq(count, n);
}
