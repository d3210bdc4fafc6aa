/* SPDX-License-Identifier: MIT */
/* tests/netio/test_filewhole.c - whole files: loaded whatever they say, stored at once or not. */
#include "netio/folder.h"
#include <co/group.h>
#include <sys/resource.h>

TestSuite(filewhole, .timeout = 30, .init = make_folder, .fini = remove_folder);

static _Atomic int count, over;

enum { PIECE = 1 << 20 };

/* ---- loading ---- */

static int load_all_sizes(void *arg)
{
    static const size_t sizes[] = {0,         1,     4095,      4096,      4097,
                                   PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 1};
    int before = descriptors();

    (void)arg;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *data = some_bytes(sizes[i], (unsigned)i), *loaded = NULL;

        put_file("a", data, sizes[i]);
        CHECK(co_file_load(in_folder("a"), sizes[i], &loaded) == (ssize_t)sizes[i]);
        CHECK(loaded && memcmp(loaded, data, sizes[i]) == 0 && loaded[sizes[i]] == '\0');
        free(loaded);
        if (sizes[i] > 0)
            CHECK(co_file_load(in_folder("a"), sizes[i] - 1, &loaded) == -EFBIG);
        CHECK(co_file_load(in_folder("a"), SIZE_MAX, &loaded) == (ssize_t)sizes[i]);
        free(loaded);
        free(data);
    }
    CHECK(descriptors() == before);
    return 0;
}

Test(filewhole, is_loaded_up_to_the_byte_that_may_be)
{
    run_on(1, load_all_sizes, NULL);
}

Test(filewhole, is_loaded_where_system_calls_do_less_than_asked)
{
    (void)setenv("CO_CHAOS", "17", 1);
    run_on(2, load_all_sizes, NULL);
}

static int load_what_lies(void *arg)
{
    char *data = NULL;
    ssize_t n = co_file_load("/proc/self/status", 1 << 20, &data);

    (void)arg;
    CHECK(n > 100 && data && strstr(data, "\nPid:") && strlen(data) == (size_t)n);
    free(data);
    n = co_file_load("/proc/self/smaps", 64 << 20, &data); /* more than one page of it */
    CHECK(n > 4096 && data && strlen(data) == (size_t)n);
    free(data);
    data = NULL;
    CHECK(co_file_load("/proc/self/smaps", 4096, &data) == -EFBIG);
    CHECK(co_file_load("/dev/zero", 100000, &data) == -EFBIG);
    CHECK(co_file_load("/dev/null", 0, &data) == 0 && data && *data == '\0');
    free(data);
    return 0;
}

Test(filewhole, files_without_a_size_or_an_end_are_loaded_as_far_as_allowed)
{
    run_on(1, load_what_lies, NULL);
}

static int load_in_vain(void *arg)
{
    char *untouched = folder, *data = untouched;
    int before = descriptors();

    (void)arg;
    CHECK(mkfifo(in_folder("fifo"), 0600) == 0);
    CHECK(co_file_load(NULL, 10, &data) == -EINVAL);
    CHECK(co_file_load(in_folder("nothing"), 10, &data) == -ENOENT);
    CHECK(co_file_load(folder, 10, &data) == -EISDIR);
    CHECK(co_file_load(in_folder("fifo"), 10, &data) == -ESPIPE);
    {
        CO_DEADLINE(0);
        CHECK(co_file_load("/dev/null", 10, &data) == -ETIMEDOUT);
    }
    CHECK(data == untouched && descriptors() == before);
    return 0;
}

Test(filewhole, what_cannot_be_loaded_says_why)
{
    char *data;

    run_on(1, load_in_vain, NULL);
    cr_assert_eq(co_file_load("/dev/null", 10, &data), -EPERM);
}

static int load_endless(void *arg)
{
    char *data = NULL;

    (void)arg;
    CHECK(co_file_load("/dev/zero", (size_t)1 << 40, &data) == -ECANCELED && !data);
    atomic_fetch_add(&count, 1);
    return 0;
}

static int end_a_load(void *arg)
{
    int before = descriptors();

    (void)arg;
    hold_it();
    until(&holds_begun, 1);
    {
        CO_GROUP(group);

        CHECK(co_group_go(&group, load_endless, NULL) == 0);
        let_queue();
        hold_it(); /* comes between two pieces */
        let_queue();
        release_it();
        until(&holds_begun, 2);
        CHECK(descriptors() == before + 1);
        co_group_cancel(&group);
        let_queue();
        release_it();
        until(&count, 1);
    }
    CHECK(descriptors() == before);
    return 0;
}

Test(filewhole, a_load_is_ended_between_two_pieces_and_closes_the_file)
{
    struct co_conf conf = one_pool_thread(1);

    cr_assert_eq(run_conf(&conf, end_a_load, NULL), 0);
}

/* ---- storing ---- */

static mode_t mode_of(const char *name)
{
    struct stat stat_ = {.st_mode = 0};

    CHECK(lstat(in_folder(name), &stat_) == 0);
    return stat_.st_mode & 07777;
}

static int store_all_sizes(void *arg)
{
    static const size_t sizes[] = {0, 1, 4096, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5};
    const struct co_file_store_opts synced = {.sync = 1};
    int before = descriptors();

    (void)arg;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *data = some_bytes(sizes[i], (unsigned)i);

        CHECK(co_file_store(i % 2 ? &synced : NULL, in_folder("a"), data, sizes[i]) == 0);
        CHECK(holds("a", data, sizes[i]) && names_in_folder() == 1);
        free(data);
    }
    CHECK(descriptors() == before);
    return 0;
}

Test(filewhole, is_stored_and_leaves_nothing_beside_it)
{
    run_on(1, store_all_sizes, NULL);
}

Test(filewhole, is_stored_where_system_calls_do_less_than_asked)
{
    (void)setenv("CO_CHAOS", "23", 1);
    run_on(2, store_all_sizes, NULL);
}

static int store_with_modes(void *arg)
{
    const struct co_file_store_opts secret = {.mode = 0600}, open = {.mode = 0666};

    (void)arg;
    (void)umask(027);
    CHECK(co_file_store(NULL, in_folder("a"), "1", 1) == 0 && mode_of("a") == 0640);
    CHECK(co_file_store(&secret, in_folder("b"), "1", 1) == 0 && mode_of("b") == 0600);
    CHECK(co_file_store(&open, in_folder("b"), "2", 1) == 0 && mode_of("b") == 0640);
    CHECK(chmod(in_folder("a"), 0666) == 0); /* more than the umask allows, and kept */
    CHECK(co_file_store(NULL, in_folder("a"), "2", 1) == 0 && mode_of("a") == 0666);
    CHECK(chmod(in_folder("a"), 04711) == 0); /* but nobody becomes another user by that */
    CHECK(co_file_store(NULL, in_folder("a"), "3", 1) == 0 && mode_of("a") == 0711);
    CHECK(chmod(in_folder("a"), 0) == 0);
    CHECK(co_file_store(NULL, in_folder("a"), "4", 1) == 0 && mode_of("a") == 0);
    return 0;
}

Test(filewhole, keeps_the_permissions_or_gets_those_asked_for)
{
    run_on(1, store_with_modes, NULL);
}

static int store_at_odd_names(void *arg)
{
    char name[256];

    (void)arg;
    (void)memset(name, 'n', 255);
    name[255] = '\0';
    CHECK(co_file_store(NULL, in_folder(name), "1", 1) == 0 && holds(name, "1", 1));
    CHECK(chdir(folder) == 0);
    CHECK(co_file_store(&(struct co_file_store_opts){.sync = 1}, "here", "2", 1) == 0);
    CHECK(holds("here", "2", 1) && names_in_folder() == 2);
    return 0;
}

Test(filewhole, is_stored_in_the_working_folder_and_under_the_longest_name)
{
    run_on(1, store_at_odd_names, NULL);
}

static int store_in_vain(void *arg)
{
    char name[300];
    int before = descriptors();

    (void)arg;
    (void)memset(name, 'n', 299);
    name[299] = '\0';
    put_file("target", "old", 3);
    CHECK(symlink("target", in_folder("link")) == 0 && mkfifo(in_folder("fifo"), 0600) == 0);
    CHECK(mkdir(in_folder("sub"), 0700) == 0);
    CHECK(co_file_store(NULL, NULL, "x", 1) == -EINVAL);
    CHECK(co_file_store(NULL, "", "x", 1) == -ENOENT);
    CHECK(co_file_store(NULL, in_folder("no/file"), "x", 1) == -ENOENT);
    CHECK(co_file_store(NULL, in_folder("target/file"), "x", 1) == -ENOTDIR);
    CHECK(co_file_store(NULL, in_folder("sub"), "x", 1) == -EISDIR);
    CHECK(co_file_store(NULL, in_folder("sub/"), "x", 1) == -EISDIR);
    CHECK(co_file_store(NULL, in_folder("link"), "x", 1) == -ELOOP);
    CHECK(co_file_store(NULL, in_folder("fifo"), "x", 1) == -EINVAL);
    CHECK(co_file_store(NULL, "/dev/null", "x", 1) == -EINVAL); /* which root could replace */
    CHECK(co_file_store(NULL, in_folder(name), "x", 1) == -ENAMETOOLONG);
    CHECK(holds("target", "old", 3) && names_in_folder() == 4 && descriptors() == before);
    return 0;
}

Test(filewhole, what_cannot_be_stored_says_why)
{
    run_on(1, store_in_vain, NULL);
    cr_assert_eq(co_file_store(NULL, "/nothing/x", "x", 1), -EPERM);
}

static int store_too_much(void *arg)
{
    struct rlimit limit = {100000, RLIM_INFINITY};
    char *data = some_bytes(2 * PIECE, 0);

    (void)arg;
    put_file("a", "old", 3);
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK(co_file_store(NULL, in_folder("a"), data, 2 * PIECE) == -EFBIG);
    limit.rlim_cur = RLIM_INFINITY;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK(holds("a", "old", 3) && names_in_folder() == 1);
    free(data);
    return 0;
}

Test(filewhole, when_there_is_no_room_the_old_file_stays)
{
    run_on(1, store_too_much, NULL);
}

static int store_long(void *arg)
{
    char *data = some_bytes(2 * PIECE, 0);

    (void)arg;
    CHECK(co_file_store(NULL, in_folder("a"), data, 2 * PIECE) == -ECANCELED);
    free(data);
    atomic_fetch_add(&count, 1);
    return 0;
}

static int end_a_store(void *arg)
{
    int before = descriptors();

    (void)arg;
    put_file("a", "old", 3);
    hold_it();
    until(&holds_begun, 1);
    {
        CO_GROUP(group);

        CHECK(co_group_go(&group, store_long, NULL) == 0);
        let_queue();
        hold_it();
        let_queue();
        release_it();
        until(&holds_begun, 2);
        CHECK(names_in_folder() == 2 && holds("a", "old", 3));
        co_group_cancel(&group);
        let_queue();
        release_it();
        until(&count, 1);
    }
    CHECK(names_in_folder() == 1 && holds("a", "old", 3) && descriptors() == before);
    return 0;
}

Test(filewhole, a_store_that_is_ended_leaves_the_old_file_and_no_other)
{
    struct co_conf conf = one_pool_thread(1);

    cr_assert_eq(run_conf(&conf, end_a_store, NULL), 0);
}

/* ---- old or new ---- */

static int store_by_turns(void *arg)
{
    const char *path = arg;
    char *data = some_bytes(40000, 0);

    for (int i = 0; i < fewer(400); i++) {
        (void)memset(data, 'a' + i % 26, (size_t)10000 + (size_t)(i % 26) * 1000);
        CHECK(co_file_store(NULL, path, data, (size_t)10000 + (size_t)(i % 26) * 1000) == 0);
    }
    free(data);
    atomic_store(&over, 1);
    return 0;
}

static int load_meanwhile(void *arg)
{
    const char *path = arg;

    while (!atomic_load(&over)) {
        char *data = NULL;
        ssize_t n = co_file_load(path, 40000, &data);

        CHECK(n >= 10000 && data);
        if (n < 10000 || !data)
            return -1;
        CHECK(n == 10000 + (data[0] - 'a') * 1000);
        for (ssize_t i = 0; i < n; i++)
            CHECK(data[i] == data[0]);
        free(data);
        atomic_fetch_add(&count, 1);
    }
    return 0;
}

static int store_and_load(void *arg)
{
    char path[512];
    char first[10000];
    CO_GROUP(group);

    (void)arg;
    (void)memset(first, 'a', sizeof first);
    put_file("a", first, sizeof first);
    (void)snprintf(path, sizeof path, "%s", in_folder("a"));
    for (int i = 0; i < 3; i++)
        CHECK(co_group_go(&group, load_meanwhile, path) == 0);
    CHECK(co_group_go(&group, store_by_turns, path) == 0);
    CHECK(co_group_wait(&group) == 0);
    CHECK(atomic_load(&count) > 0 && names_in_folder() == 1);
    return 0;
}

Test(filewhole, readers_see_the_old_file_or_the_new_one)
{
    run_on(2, store_and_load, NULL);
}

static int lack_memory(void *arg)
{
    int before = descriptors(), refused = 0;
    char *data = some_bytes(2 * PIECE, 0), *loaded;

    (void)arg;
    put_file("a", "old", 3);
    for (int i = 0; i < 100; i++) {
        int r = co_file_store(NULL, in_folder("a"), data, 2 * PIECE);
        ssize_t n = co_file_load(in_folder("a"), 2 * PIECE, &loaded);

        CHECK(r == 0 || r == -ENOMEM);
        CHECK(n == 3 || n == 2 * PIECE || n == -ENOMEM);
        refused += (r == -ENOMEM) + (n == -ENOMEM);
        if (n >= 0)
            free(loaded);
    }
    free(data);
    CHECK(names_in_folder() == 1 && descriptors() == before);
#ifdef CO_CHAOS_BUILD
    CHECK(refused > 0);
#endif
    return 0;
}

Test(filewhole, without_memory_for_the_pool_nothing_is_left_behind)
{
    run_scarce(1, lack_memory);
}
