/* SPDX-License-Identifier: MIT */
/* tests/runtime/test_inspect.c - the list of all coroutines: what it says, and while they move. */
#include <co/inspect.h>

#include "child.h"
#include "support/run.h"
#include <co/chan.h>
#include <co/event.h>
#include <co/group.h>
#include <co/mutex.h>
#include <co/sem.h>
#include <fcntl.h>

TestSuite(inspect, .timeout = 60);

static struct co_event release, over;
static struct co_mutex mutex;
static _Atomic int ended;

/* ---- one coroutine, by its name ---- */

struct wanted {
    const char *name;
    struct co_info info;
};

static int pick(const struct co_info *info, void *arg)
{
    struct wanted *wanted = arg;

    if (strcmp(info->name, wanted->name) != 0)
        return 0;
    wanted->info = *info;
    return 1;
}

static bool seen(const char *name, struct co_info *ret_info)
{
    struct wanted wanted = {.name = name};

    if (co_inspect(pick, &wanted) == 0)
        return false;
    *ret_info = wanted.info;
    return true;
}

/* Lets others run until that one is in that state. */
static struct co_info await(const char *name, enum co_state state)
{
    struct co_info info = {0};

    while (!seen(name, &info) || info.state != state)
        (void)co_yield();
    return info;
}

static void begin(const char *name, co_fn *fn, void *arg)
{
    const struct co_opts opts = {.name = name};

    CHECK(co_go_with(&opts, fn, arg) == 0);
}

static void until_released(void *arg)
{
    int r = co_event_wait(&release);

    (void)arg;
    CHECK(r == 0);
    atomic_fetch_add(&ended, 1);
}

/* Releases all that wait, and comes back when so many have ended. */
static void let_go(int count)
{
    co_event_set(&release);
    until(&ended, count);
}

static int look_at_myself(void *arg)
{
    struct co_info info = {0};

    (void)arg;
    CHECK(!seen("nobody", &info));
    begin("waiter", until_released, NULL);
    do
        info = await("waiter", CO_STATE_PARKED);
    while (info.since == 0); /* about to be: its last step is still to come */
    CHECK(strcmp(info.what, "event") == 0 && info.object == &release && info.holder == 0);
    CHECK(info.since <= co_now() && info.until == CO_NEVER);
    CHECK(info.worker == -1 && !info.cancelled && info.fn == (uintptr_t)until_released);
    CHECK(info.frames > 2);
    let_go(1);
    CHECK(!seen("waiter", &info) || info.state == CO_STATE_RUNNING);
    return 0;
}

Test(inspect, a_parked_one_is_shown_with_what_it_waits_for)
{
    run_on(2, look_at_myself, NULL);
}

static void show_myself(void *arg)
{
    struct co_info info = {0};

    CO_DEADLINE(100 * CO_SEC);
    CHECK(seen("self", &info));
    CHECK(info.state == CO_STATE_RUNNING && info.worker == co_worker() && info.id == co_self());
    CHECK(info.frames == 0 && info.until > co_now() && info.until < CO_NEVER);
    (void)arg;
    atomic_fetch_add(&ended, 1);
}

static int run_self(void *arg)
{
    (void)arg;
    begin("self", show_myself, NULL);
    until(&ended, 1);
    return 0;
}

Test(inspect, a_running_one_is_shown_with_its_worker)
{
    run_on(2, run_self, NULL);
}

/* ---- what they wait for ---- */

static void hold(void *arg)
{
    (void)arg;
    co_mutex_lock_always(&mutex);
    CHECK(co_event_wait(&release) == 0);
    co_mutex_unlock(&mutex);
    atomic_fetch_add(&ended, 1);
}

static void want(void *arg)
{
    (void)arg;
    co_mutex_lock_always(&mutex);
    co_mutex_unlock(&mutex);
    atomic_fetch_add(&ended, 1);
}

static int mutex_holder(void *arg)
{
    struct co_info holder, waiter;

    (void)arg;
    begin("holder", hold, NULL);
    holder = await("holder", CO_STATE_PARKED);
    begin("wants", want, NULL);
    waiter = await("wants", CO_STATE_PARKED);
    CHECK(strcmp(waiter.what, "mutex") == 0 && waiter.object == &mutex);
    CHECK(waiter.holder == holder.id);
    let_go(2);
    return 0;
}

Test(inspect, who_waits_for_a_mutex_is_shown_with_who_holds_it)
{
    run_on(2, mutex_holder, NULL);
}

static void sleep_until_released(void *arg)
{
    (void)arg;
    while (co_event_wait(&over) < 0 || co_sleep(CO_US) < 0)
        continue;
    (void)co_sleep(3600 * CO_SEC);
    atomic_fetch_add(&ended, 1);
}

static int member(void *arg)
{
    sleep_until_released(arg);
    return 0;
}

static int cancelled_sleeper(void *arg)
{
    static const struct co_opts opts = {.name = "sleeper"};
    struct co_group group;
    struct co_info info;

    (void)arg;
    CHECK(co_group_open(&group) == 0);
    CHECK(co_group_go_with(&group, &opts, member, NULL) == 0);
    (void)await("sleeper", CO_STATE_PARKED);
    co_event_set(&over);
    do
        info = await("sleeper", CO_STATE_PARKED);
    while (strcmp(info.what, "sleep") != 0 || info.until < co_now() + 1000 * CO_SEC);
    CHECK(info.object == NULL && info.until < co_now() + 3600 * CO_SEC);
    CHECK(co_group_close(&group) == 0 && atomic_load(&ended) == 1);
    return 0;
}

Test(inspect, a_sleeper_is_shown_with_when_it_wakes)
{
    run_on(2, cancelled_sleeper, NULL);
}

/* ---- as text ---- */

/* All that comes out of a descriptor until its end, or until `last` has come. */
static void read_all(int fd, char *text, size_t cap, const char *last)
{
    size_t len = 0;
    ssize_t n;

    text[0] = '\0';
    while (len < cap - 1 && (n = read(fd, text + len, cap - 1 - len)) > 0) {
        len += (size_t)n;
        text[len] = '\0';
        if (last && strstr(text, last))
            return;
    }
}

static int dump_many(void *arg)
{
    int *fds = arg;
    int many = fewer(500);

    for (int i = 0; i < many; i++)
        begin("", until_released, NULL);
    begin("the other", hold, NULL);
    (void)await("the other", CO_STATE_PARKED);
    while (stat_of("parked") < many + 1)
        (void)co_yield();
    CHECK(co_dump(fds[1]) == 0);
    let_go(many + 1);
    return 0;
}

Test(inspect, those_that_do_the_same_are_one_entry_of_the_text)
{
    char text[16384], more[64];
    int fds[2];

    cr_assert_eq(pipe(fds), 0);
    run_on(2, dump_many, fds);
    (void)close(fds[1]);
    read_all(fds[0], text, sizeof text, NULL);
    (void)snprintf(more, sizeof more, "corvid: %d coroutines on 2 workers", fewer(500) + 2);
    cr_assert(strstr(text, more), "%s", text);
    (void)snprintf(more, sizeof more, "  and %d more like this", fewer(500) - 1);
    cr_assert(strstr(text, more), "%s", text);
    cr_assert(strstr(text, "(the other), waits for event at 0x"), "%s", text);
    cr_assert(strstr(text, "  #0 "), "%s", text);
    cr_assert(strstr(text, ", running on worker "), "%s", text);
    cr_assert(strstr(text, "corvid: end of the list\n"), "%s", text);
    (void)close(fds[0]);
}

static int dump_to_nobody(void *arg)
{
    int fds[2];

    (void)arg;
    CHECK(pipe(fds) == 0);
    (void)close(fds[0]);
    CHECK(co_dump(fds[1]) == 0);
    CHECK(co_dump(-1) == -EBADF);
    (void)close(fds[1]);
    return 0;
}

Test(inspect, a_reader_that_has_gone_harms_nobody)
{
    cr_assert_eq(co_dump(1), -ECANCELED);
    run_on(1, dump_to_nobody, NULL);
    cr_assert_eq(co_inspect(pick, NULL), -ECANCELED);
}

/* ---- while they move ---- */

static _Atomic int stop_looking;

static int check_one(const struct co_info *info, void *arg)
{
    (void)arg;
    CHECK(info->id > 0 && info->frames >= 0 && info->frames <= CO_INFO_FRAMES);
    CHECK(info->name[0] == '\0' || strcmp(info->name, "short") == 0);
    if (info->state == CO_STATE_PARKED && info->what[0] != '\0')
        CHECK(strcmp(info->what, "semaphore") == 0 || strcmp(info->what, "sleep") == 0);
    return 0;
}

static void *look_all_the_time(void *arg)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    (void)arg;
    while (!atomic_load(&stop_looking)) {
        int r = co_inspect(check_one, NULL);

        CHECK(r == 0 || r == -ECANCELED);
        r = co_dump(null);
        CHECK(r == 0 || r == -ECANCELED);
    }
    (void)close(null);
    return NULL;
}

static struct co_sem sem;

static void short_life(void *arg)
{
    CHECK(co_sem_take(&sem) == 0);
    if (arg)
        CHECK(co_sleep(CO_US) == 0);
    co_sem_give(&sem, 1);
    atomic_fetch_add(&ended, 1);
}

static int many_short_lives(void *arg)
{
    int rounds = fewer(400);

    (void)arg;
    for (int i = 0; i < rounds; i++) {
        struct co_opts opts = {.name = i % 2 ? "short" : NULL,
                               .stack_size = i % 3 ? 0 : (size_t)128 << 10};

        for (int j = 0; j < 8; j++)
            CHECK(co_go_with(&opts, short_life, j % 4 ? NULL : &sem) == 0);
        until(&ended, (i + 1) * 8);
    }
    atomic_store(&stop_looking, 1);
    return 0;
}

Test(inspect, records_may_be_used_again_while_somebody_looks)
{
    struct co_conf conf = settings(2);
    pthread_t thread;

    co_sem_init(&sem, 1);
    atomic_store(&stop_looking, 0);
    /* It looks from before there is a runtime until there is nothing to see any more. */
    conf.deadlock_report = 0;
    cr_assert_eq(pthread_create(&thread, NULL, look_all_the_time, NULL), 0);
    cr_assert_eq(run_conf(&conf, many_short_lives, NULL), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}

/* ---- on a signal ---- */

static _Atomic int hogs;

static void hog(void *arg)
{
    (void)arg;
    atomic_fetch_add(&hogs, 1);
    for (;;)
        compute(CO_SEC);
}

static void hog_last(void *arg)
{
    while (atomic_load(&hogs) < 1)
        continue;
    child_say("ready\n");
    hog(arg);
}

static int keep_everybody(void *arg)
{
    begin("patient", until_released, NULL);
    (void)await("patient", CO_STATE_PARKED);
    begin("hog", hog, arg);
    begin("hog", hog_last, arg);
    return 0;
}

Test(inspect, a_signal_has_the_list_written_even_if_every_worker_is_stuck)
{
    struct co_conf conf = settings(2);
    struct child child;

    conf.signals = 1;
    child_start(&child, &conf, keep_everybody);
    cr_assert(child_says(&child, "ready\n"));
    cr_assert_eq(kill(child.pid, SIGUSR1), 0);
    cr_assert(child_says(&child, "corvid: end of the list\n"), "%s", child.text);
    cr_assert(strstr(child.text, "(hog), running on worker 0"), "%s", child.text);
    cr_assert(strstr(child.text, "(hog), running on worker 1"), "%s", child.text);
    cr_assert(strstr(child.text, "(patient), waits for event at 0x"), "%s", child.text);
    child_kill(&child);
}

static int rest(void *arg)
{
    (void)arg;
    child_say("ready\n");
    CHECK(co_event_wait(&release) == -ECANCELED);
    return 0;
}

Test(inspect, a_signal_has_the_list_written_while_all_rest)
{
    struct co_conf conf = settings(2);
    struct child child;

    conf.signals = 1;
    conf.grace = 0;
    conf.deadlock_report = 0;
    child_start(&child, &conf, rest);
    cr_assert(child_says(&child, "ready\n"));
    (void)usleep(50 * 1000); /* for the watchdog to lie down; if it does not, that is tested too */
    cr_assert_eq(kill(child.pid, SIGUSR1), 0);
    cr_assert(child_says(&child, "corvid: end of the list\n"), "%s", child.text);
    cr_assert(strstr(child.text, "coroutine 1"), "%s", child.text);
    cr_assert_eq(kill(child.pid, SIGTERM), 0);
    cr_assert_eq(child_end(&child), 0);
}
