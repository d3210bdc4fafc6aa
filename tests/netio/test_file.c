/* SPDX-License-Identifier: MIT */
/* tests/netio/test_file.c - open files and names: what is right, what is refused, who waits. */
#include <co/file.h>

#include "netio/folder.h"
#include "netio/world.h"
#include <co/group.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/un.h>

TestSuite(file, .timeout = 30, .init = make_folder, .fini = remove_folder);

static _Atomic int count;

/* ---- reading and writing ---- */

static int read_and_write(void *arg)
{
    char buf[16] = "";
    CO_FILE(fd, co_file_open(in_folder("a"), O_RDWR | O_CREAT | O_EXCL, 0600));

    (void)arg;
    CHECK(fd >= 0);
    CHECK(co_file_write(fd, "hello world", 11, 0) == 11);
    CHECK(co_file_write(fd, "W", 1, 6) == 1);
    CHECK(co_file_write(fd, NULL, 0, 0) == 0);
    CHECK(co_file_read(fd, buf, 5, 6) == 5 && memcmp(buf, "World", 5) == 0);
    CHECK(co_file_read(fd, buf, sizeof buf, 0) == 11 && memcmp(buf, "hello World", 11) == 0);
    CHECK(co_file_read(fd, buf, sizeof buf, 11) == 0);
    CHECK(co_file_read(fd, buf, sizeof buf, 1000) == 0);
    CHECK(co_file_read(fd, buf, 0, 0) == 0);
    CHECK(co_file_write(fd, "!", 1, 20) == 1); /* a hole of zeros before it */
    CHECK(co_file_read(fd, buf, sizeof buf, 11) == 10 && buf[0] == 0 && buf[8] == 0);
    CHECK(buf[9] == '!');
    CHECK(co_file_sync(fd) == 0);
    CHECK(co_file_truncate(fd, 5) == 0 && co_file_read(fd, buf, sizeof buf, 0) == 5);
    CHECK(co_file_truncate(fd, 6) == 0 && co_file_read(fd, buf, sizeof buf, 0) == 6);
    return 0;
}

Test(file, is_read_and_written_at_offsets)
{
    run_on(1, read_and_write, NULL);
}

enum { LONG = 3 * (1 << 20) + 17 };

static int move_much(void *arg)
{
    char *data = some_bytes(LONG, 1), *back = some_bytes(LONG + 100, 0);
    CO_FILE(fd, co_file_open(in_folder("long"), O_RDWR | O_CREAT, 0600));

    (void)arg;
    CHECK(fd >= 0);
    CHECK(co_file_write(fd, data, LONG, 0) == LONG);
    CHECK(holds("long", data, LONG));
    CHECK(co_file_read(fd, back, LONG + 100, 0) == LONG && memcmp(back, data, LONG) == 0);
    CHECK(co_file_read(fd, back, LONG, 1) == LONG - 1 && memcmp(back, data + 1, LONG - 1) == 0);
    CHECK(co_file_read(fd, back, 2 << 20, 0) == 2 << 20 && memcmp(back, data, 2 << 20) == 0);
    CHECK(co_file_truncate(fd, 2 << 20) == 0); /* whole pieces */
    CHECK(co_file_read(fd, back, LONG, 0) == 2 << 20 && memcmp(back, data, 2 << 20) == 0);
    free(data);
    free(back);
    return 0;
}

Test(file, much_is_moved_in_pieces)
{
    run_on(1, move_much, NULL);
    run_on(3, move_much, NULL);
}

Test(file, what_is_moved_in_part_or_interrupted_is_moved_on)
{
    (void)setenv("CO_CHAOS", "11", 1);
    run_on(2, read_and_write, NULL);
    run_on(2, move_much, NULL);
}

static int append(void *arg)
{
    CO_FILE(fd, co_file_open(in_folder("log"), O_WRONLY | O_CREAT | O_APPEND, 0600));

    (void)arg;
    CHECK(co_file_write(fd, "one\n", 4, 0) == 4);
    CHECK(co_file_write(fd, "two\n", 4, 0) == 4);
    CHECK(holds("log", "one\ntwo\n", 8));
    return 0;
}

Test(file, one_that_was_opened_to_append_grows_at_its_end)
{
    run_on(1, append, NULL);
}

/* ---- what cannot be done ---- */

static int misuse(void *arg)
{
    char buf[4] = "";
    CO_FILE(in, co_file_open("/proc/self/exe", O_RDONLY, 0));
    CO_FILE(out, co_file_open(in_folder("out"), O_WRONLY | O_CREAT, 0600));

    (void)arg;
    CHECK(in >= 0 && out >= 0);
    CHECK(co_file_read(in, buf, 4, -1) == -EINVAL && co_file_write(out, buf, 4, -1) == -EINVAL);
    CHECK(co_file_read(in, buf, SIZE_MAX, 0) == -EINVAL);
    CHECK(co_file_read(in, buf, 4, INT64_MAX) == -EINVAL);
    CHECK(co_file_write(out, buf, 4, INT64_MAX - 3) == -EINVAL);
    CHECK(co_file_write(in, buf, 4, 0) == -EBADF && co_file_read(out, buf, 4, 0) == -EBADF);
    CHECK(co_file_write(in, buf, 0, 0) == -EBADF && co_file_read(-1, buf, 0, 0) == -EBADF);
    CHECK(co_file_truncate(out, -1) == -EINVAL && co_file_truncate(in, 0) == -EINVAL);
    CHECK(co_file_sync(-1) == -EBADF && co_file_truncate(-1, 0) == -EBADF);
    CHECK(co_file_close(-1) == -EBADF && co_file_close(9999) == -EBADF);
    return 0;
}

Test(file, what_makes_no_sense_is_refused)
{
    run_on(1, misuse, NULL);
}

static int open_in_vain(void *arg)
{
    char name[5000];

    (void)arg;
    (void)memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    CHECK(symlink("itself", in_folder("itself")) == 0);
    CHECK(co_file_open(NULL, O_RDONLY, 0) == -EINVAL);
    CHECK(co_file_open("", O_RDONLY, 0) == -ENOENT);
    CHECK(co_file_open(in_folder("nothing"), O_RDONLY, 0) == -ENOENT);
    CHECK(co_file_open(name, O_RDONLY, 0) == -ENAMETOOLONG);
    name[256] = '\0'; /* one more than a name may have */
    CHECK(co_file_open(in_folder(name), O_RDONLY | O_CREAT, 0600) == -ENAMETOOLONG);
    CHECK(co_file_open(folder, O_WRONLY, 0) == -EISDIR);
    CHECK(co_file_open("/proc/self/exe/x", O_RDONLY, 0) == -ENOTDIR);
    CHECK(co_file_open(in_folder("itself"), O_RDONLY, 0) == -ELOOP);
    put_file("there", "", 0);
    CHECK(co_file_open(in_folder("there"), O_RDWR | O_CREAT | O_EXCL, 0600) == -EEXIST);
    CHECK(co_file_stat(NULL, NULL) == -EINVAL && co_file_lstat(NULL, NULL) == -EINVAL);
    CHECK(co_file_remove(NULL) == -EINVAL && co_file_remove(in_folder("nothing")) == -ENOENT);
    CHECK(co_file_remove(folder) == -EISDIR);
    CHECK(co_file_rename(NULL, "x") == -EINVAL && co_file_rename("x", NULL) == -EINVAL);
    CHECK(co_file_rename(in_folder("nothing"), in_folder("x")) == -ENOENT);
    CHECK(mkdir(in_folder("sub"), 0700) == 0);
    CHECK(co_file_rename(in_folder("there"), in_folder("sub")) == -EISDIR);
    return 0;
}

Test(file, what_cannot_be_opened_says_why)
{
    run_on(1, open_in_vain, NULL);
}

static int open_what_waits(void *arg)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    int before = descriptors();
    char buf[8] = "1234567";

    (void)arg;
    CHECK(mkfifo(in_folder("fifo"), 0600) == 0);
    CHECK(co_file_open(in_folder("fifo"), O_RDONLY, 0) == -ESPIPE); /* nobody writes */
    CHECK(co_file_open(in_folder("fifo"), O_RDWR, 0) == -ESPIPE);
    CHECK(co_file_open(in_folder("fifo"), O_WRONLY, 0) == -ENXIO);
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%s", in_folder("sock"));
    CHECK(bind(sock, (struct sockaddr *)(void *)&addr, sizeof addr) == 0);
    CHECK(co_file_open(in_folder("sock"), O_RDONLY, 0) == -ENXIO);
    {
        CO_FILE(zero, co_file_open("/dev/zero", O_RDONLY, 0));
        CO_FILE(full, co_file_open("/dev/full", O_WRONLY, 0));

        CHECK(zero >= 0 && co_file_read(zero, buf, 8, 0) == 8 && buf[0] == 0 && buf[7] == 0);
        CHECK(full >= 0 && co_file_write(full, buf, 8, 0) == -ENOSPC);
    }
    CHECK(descriptors() == before);
    if (terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0) {
        CO_FILE(line, co_file_open(ptsname(terminal), O_RDWR, 0));

        CHECK(line >= 0 && co_file_read(line, buf, 8, 0) == -ESPIPE);
    }
    CHECK(close(sock) == 0 && (terminal < 0 || close(terminal) == 0));
    return 0;
}

Test(file, pipes_sockets_and_devices_keep_no_thread_waiting)
{
    run_on(1, open_what_waits, NULL);
}

static int outgrow(void *arg)
{
    struct rlimit limit = {4096, RLIM_INFINITY};
    char *data = some_bytes(8192, 3);
    CO_FILE(fd, co_file_open(in_folder("limited"), O_RDWR | O_CREAT, 0600));

    (void)arg;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK(co_file_write(fd, data, 8192, 0) == -EFBIG); /* and no SIGXFSZ, which ends a process */
    CHECK(co_file_truncate(fd, 8192) == -EFBIG);
    CHECK(co_file_read(fd, data, 8192, 0) == 4096);
    limit.rlim_cur = RLIM_INFINITY;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    free(data);
    return 0;
}

Test(file, a_write_beyond_the_limit_fails_and_ends_nobody)
{
    run_on(1, outgrow, NULL);
}

/* ---- telling ---- */

static int tell(void *arg)
{
    struct co_file_info info, same;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timespec now = {0};
    CO_FILE(fd, co_file_open(in_folder("a"), O_RDWR | O_CREAT, 0600));

    (void)arg;
    CHECK(fchmod(fd, 0640) == 0 && co_file_write(fd, "12345", 5, 0) == 5);
    CHECK(co_file_fstat(fd, &info) == 0 && clock_gettime(CLOCK_REALTIME, &now) == 0);
    CHECK(info.type == CO_FILE_REGULAR && info.size == 5 && info.mode == 0640 && info.links == 1);
    CHECK(info.user == getuid() && info.inode != 0);
    CHECK(info.modified > (now.tv_sec - 1000) * CO_SEC && info.changed >= info.modified);
    CHECK(info.modified < (now.tv_sec + 1000) * CO_SEC);
    CHECK(symlink("a", in_folder("link")) == 0 && link(in_folder("a"), in_folder("b")) == 0);
    CHECK(co_file_stat(in_folder("link"), &same) == 0);
    CHECK(same.inode == info.inode && same.device == info.device && same.links == 2);
    CHECK(co_file_lstat(in_folder("link"), &info) == 0);
    CHECK(info.type == CO_FILE_LINK && info.size == 1 && info.inode != same.inode);
    CHECK(co_file_stat(folder, &info) == 0 && info.type == CO_FILE_DIR && info.mode == 0700);
    CHECK(mkfifo(in_folder("fifo"), 0600) == 0);
    CHECK(co_file_stat(in_folder("fifo"), &info) == 0 && info.type == CO_FILE_FIFO);
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "%s", in_folder("sock"));
    CHECK(bind(sock, (struct sockaddr *)(void *)&addr, sizeof addr) == 0 && close(sock) == 0);
    CHECK(co_file_stat(in_folder("sock"), &info) == 0 && info.type == CO_FILE_SOCKET);
    CHECK(co_file_stat("/dev/null", &info) == 0 && info.type == CO_FILE_CHAR);
    CHECK(co_file_stat(in_folder("nothing"), &info) == -ENOENT && info.type == CO_FILE_CHAR);
    CHECK(co_file_fstat(-1, &info) == -EBADF);
    return 0;
}

Test(file, is_told_of_with_type_size_permissions_and_times)
{
    run_on(1, tell, NULL);
}

static int rename_and_remove(void *arg)
{
    (void)arg;
    put_file("a", "a", 1);
    put_file("b", "b", 1);
    CHECK(co_file_rename(in_folder("a"), in_folder("b")) == 0);
    CHECK(names_in_folder() == 1 && holds("b", "a", 1));
    CHECK(co_file_remove(in_folder("b")) == 0 && names_in_folder() == 0);
    CHECK(co_file_remove(in_folder("b")) == -ENOENT);
    return 0;
}

Test(file, names_are_changed_and_removed)
{
    run_on(1, rename_and_remove, NULL);
}

/* ---- the descriptor ---- */

static int mix_up(void *arg)
{
    char buf[4];
    struct pair pair = make_pair();
    int fd = co_file_open("/proc/self/status", O_RDONLY, 0);

    (void)arg;
    CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
    CHECK(co_recv(fd, buf, 4) == -EBADF && co_send(fd, buf, 4) == -EBADF);
    CHECK(co_close(fd) == -EBADF && co_hangup(fd) == -EBADF && fcntl(fd, F_GETFD) >= 0);
    CHECK(co_file_close(pair.ours) == -EBADF); /* the socket's own call is co_close */
    CHECK(co_file_read(pair.ours, buf, 4, 0) == -ESPIPE);
    CHECK(co_hangup(pair.ours) == 0 && co_file_close(pair.ours) == -EBADF);
    close_pair(&pair);
    CHECK(co_file_close(fd) == 0);
    CHECK(co_file_close(fd) == -EBADF);
    return 0;
}

Test(file, its_descriptor_is_none_of_the_sockets)
{
    run_on(1, mix_up, NULL);
}

static int guard(void *arg)
{
    int before = descriptors(), taken;

    (void)arg;
    {
        CO_FILE(a, co_file_open("/proc/self/exe", O_RDONLY, 0));
        CO_FILE(b, co_file_open("/proc/self/exe", O_RDONLY, 0));
        CO_FILE(c, co_file_open("/nothing", O_RDONLY, 0));

        CHECK(a >= 0 && b >= 0 && c == -ENOENT && descriptors() == before + 2);
        taken = co_fd_take(&b);
    }
    CHECK(descriptors() == before + 1 && co_file_close(taken) == 0);
    return 0;
}

Test(file, is_closed_at_the_end_of_its_block_unless_taken)
{
    run_on(1, guard, NULL);
}

static int be_cancelled(void *arg)
{
    char buf[4];
    struct co_file_info info;
    CO_FILE(fd, co_file_open("/proc/self/exe", O_RDONLY, 0));

    co_group_cancel(arg);
    CHECK(fd >= 0 && co_file_read(fd, buf, 4, 0) == -ECANCELED);
    CHECK(co_file_open("/proc/self/exe", O_RDONLY, 0) == -ECANCELED);
    CHECK(co_file_fstat(fd, &info) == -ECANCELED && co_file_sync(fd) == -ECANCELED);
    CHECK(co_file_remove("/nothing") == -ECANCELED);
    return 0;
}

static int be_late(void)
{
    char buf[4];
    CO_FILE(fd, co_file_open("/proc/self/exe", O_RDONLY, 0));

    {
        CO_DEADLINE(0);
        CHECK(co_file_read(fd, buf, 4, 0) == -ETIMEDOUT);
        CHECK(co_file_open("/proc/self/exe", O_RDONLY, 0) == -ETIMEDOUT);
        CHECK(co_file_close(fd) == 0 && fcntl(fd, F_GETFD) < 0);
        fd = -1;
    }
    return 0;
}

static int end_early(void *arg)
{
    int before = descriptors();
    CO_GROUP(group);

    (void)arg;
    CHECK(co_group_go(&group, be_cancelled, &group) == 0);
    CHECK(co_group_wait(&group) == 0);
    CHECK(be_late() == 0);
    CHECK(descriptors() == before);
    return 0;
}

Test(file, cancel_and_deadline_end_calls_but_do_not_keep_it_from_being_closed)
{
    run_on(1, end_early, NULL);
    run_on(3, end_early, NULL);
}

static void *close_outside(void *arg)
{
    return (void *)(intptr_t)co_file_close(*(int *)arg);
}

static int close_elsewhere(void *arg)
{
    int fd = co_file_open("/proc/self/exe", O_RDONLY, 0);
    pthread_t thread;
    void *result;

    (void)arg;
    CHECK(pthread_create(&thread, NULL, close_outside, &fd) == 0);
    CHECK(pthread_join(thread, &result) == 0 && result == NULL);
    CHECK(fcntl(fd, F_GETFD) < 0);
    return 0;
}

Test(file, is_for_coroutines_but_anybody_may_close_it)
{
    char buf[4];

    cr_assert_eq(co_file_open("/proc/self/exe", O_RDONLY, 0), -EPERM);
    cr_assert_eq(co_file_read(0, buf, 4, 0), -EPERM);
    cr_assert_eq(co_file_write(0, buf, 4, 0), -EPERM);
    cr_assert_eq(co_file_remove("/nothing"), -EPERM);
    run_on(1, close_elsewhere, NULL);
}

/* ---- a busy pool ---- */

static int be_taken_back(void *arg)
{
    int before = descriptors();
    char buf[4] = "";
    int fd = co_file_open("/proc/sys/kernel/ostype", O_RDONLY, 0); /* which is in no cache */

    (void)arg;
    hold_it();
    until(&holds_begun, 1);
    {
        CO_DEADLINE(20 * CO_MS);
        CHECK(co_file_open(in_folder("x"), O_RDWR | O_CREAT, 0600) == -ETIMEDOUT);
        CHECK(co_file_read(fd, buf, 4, 0) == -ETIMEDOUT);
    }
    release_it();
    until(&holds_ended, 1);
    CHECK(co_file_read(fd, buf, 4, 0) == 4 && memcmp(buf, "Linu", 4) == 0);
    CHECK(names_in_folder() == 0); /* it was never made */
    CHECK(co_file_close(fd) == 0 && descriptors() == before);
    return 0;
}

Test(file, what_the_pool_has_not_begun_is_taken_back)
{
    struct co_conf conf = one_pool_thread(2);

    cr_assert_eq(run_conf(&conf, be_taken_back, NULL), 0);
}

/* Whether the kernel tells of this file, at once, what it has in memory. */
static bool tells_what_is_cached(int fd)
{
    char byte;
    struct iovec piece = {&byte, 1};

    return preadv2(fd, &piece, 1, 0, RWF_NOWAIT) == 1;
}

static int read_without_pool(void *arg)
{
    static char buf[65536], wanted[65536];
    char *data = some_bytes(LONG, 5);
    CO_FILE(fd, -1);

    (void)arg;
    put_file("cached", data, LONG);
    fd = co_file_open(in_folder("cached"), O_RDONLY, 0);
    (void)memcpy(wanted, data + 12345, sizeof wanted);
    hold_it();
    until(&holds_begun, 1);
    if (tells_what_is_cached(fd)) {
        CHECK(co_file_read(fd, buf, sizeof buf, 12345) == sizeof buf);
        CHECK(memcmp(buf, wanted, sizeof buf) == 0);
        CO_DEADLINE(0);
        CHECK(co_file_read(fd, buf, 1, 0) == -ETIMEDOUT); /* although it would not wait */
    }
    release_it();
    /* Now it may be in memory in part, or not at all. */
    CHECK(fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
    for (int64_t offset = 0; offset < LONG; offset += 60000) {
        size_t len = LONG - offset < 65536 ? (size_t)(LONG - offset) : 65536;

        CHECK(co_file_read(fd, buf, 65536, offset) == (ssize_t)len);
        CHECK(memcmp(buf, data + offset, len) == 0);
    }
    free(data);
    return 0;
}

Test(file, what_is_in_memory_is_read_without_the_pool)
{
    struct co_conf conf = one_pool_thread(1);

    cr_assert_eq(run_conf(&conf, read_without_pool, NULL), 0);
}

static int read_past_the_cache(void *arg)
{
    char *data = some_bytes(8192, 5), *buf = NULL;
    int fd;

    (void)arg;
    put_file("direct", data, 8192);
    fd = co_file_open(in_folder("direct"), O_RDONLY | O_DIRECT, 0);
    if (fd < 0)
        CHECK(fd == -EINVAL); /* a file system without */
    if (fd >= 0 && posix_memalign((void **)&buf, 4096, 8192) == 0)
        CHECK(co_file_read(fd, buf, 8192, 0) == 8192 && memcmp(buf, data, 8192) == 0);
    CHECK(fd < 0 || co_file_close(fd) == 0);
    free(buf);
    free(data);
    return 0;
}

Test(file, may_be_read_past_the_cache)
{
    run_on(1, read_past_the_cache, NULL);
}

static int write_long(void *arg)
{
    char *data = some_bytes(LONG, 0);
    ssize_t n = co_file_write(*(int *)arg, data, LONG, 0);

    CHECK(n == -ECANCELED);
    free(data);
    atomic_fetch_add(&count, 1);
    return 0;
}

/* The pool: a hold, the first piece, another hold; the second piece would come behind that. */
static int end_between_pieces(void *arg)
{
    struct co_file_info info = {0};
    CO_FILE(fd, co_file_open(in_folder("a"), O_RDWR | O_CREAT, 0600));

    (void)arg;
    hold_it();
    until(&holds_begun, 1);
    {
        CO_GROUP(group);

        CHECK(co_group_go(&group, write_long, &fd) == 0);
        let_queue();
        hold_it();
        let_queue();
        release_it();
        until(&holds_begun, 2);
        co_group_cancel(&group);
        until(&count, 1);
    }
    release_it();
    until(&holds_ended, 2);
    CHECK(co_file_fstat(fd, &info) == 0 && info.size == 1 << 20);
    return 0;
}

Test(file, a_long_write_is_ended_between_two_pieces)
{
    struct co_conf conf = one_pool_thread(1);

    cr_assert_eq(run_conf(&conf, end_between_pieces, NULL), 0);
}

/* ---- many at once ---- */

struct reader {
    int fd;
    int number;
};

static int read_part(void *arg)
{
    const struct reader *reader = arg;
    char buf[4096];

    for (int round = 0; round < 4; round++) {
        int64_t offset = (int64_t)reader->number * 4096 + round;
        ssize_t n = co_file_read(reader->fd, buf, sizeof buf - 4, offset);

        CHECK(n == sizeof buf - 4);
        for (ssize_t i = 0; i < n; i++)
            CHECK(buf[i] ==
                  (char)(((size_t)(offset + i) * 31 + (size_t)(offset + i) / 251) & 0xff));
    }
    atomic_fetch_add(&count, 1);
    return 0;
}

enum { READERS = 200 };

static int read_at_once(void *arg)
{
    static struct reader readers[READERS];
    char *data = some_bytes(READERS * 4096, 0);
    CO_FILE(fd, -1);
    CO_GROUP(group);

    (void)arg;
    atomic_store(&count, 0);
    put_file("shared", data, READERS * 4096);
    free(data);
    fd = co_file_open(in_folder("shared"), O_RDONLY, 0);
    for (int i = 0; i < READERS; i++) {
        readers[i] = (struct reader){fd, i};
        CHECK(co_group_go(&group, read_part, &readers[i]) == 0);
    }
    CHECK(co_group_wait(&group) == 0 && atomic_load(&count) == READERS);
    return 0;
}

Test(file, more_readers_than_threads_are_all_served)
{
    struct co_conf conf = one_pool_thread(2);

    run_on(1, read_at_once, NULL);
    run_on(3, read_at_once, NULL);
    cr_assert_eq(run_conf(&conf, read_at_once, NULL), 0);
}

static _Atomic int reading;

static int read_for_ever(void *arg)
{
    char buf[512];
    ssize_t n;
    CO_FILE(fd, co_file_open("/proc/self/exe", O_RDONLY, 0));

    (void)arg;
    CHECK(fd >= 0);
    atomic_fetch_add(&reading, 1);
    while ((n = co_file_read(fd, buf, sizeof buf, 0)) == sizeof buf)
        continue;
    CHECK(n == -ECANCELED);
    atomic_fetch_add(&count, 1);
    return 0;
}

static void read_until_stopped(void *arg)
{
    (void)read_for_ever(arg);
}

static int stop_meanwhile(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++)
        start(read_until_stopped, NULL);
    until(&reading, 20);
    co_stop();
    return 0;
}

Test(file, a_stop_ends_those_who_read_and_leaves_nothing_open)
{
    int before;

    run_on(1, rename_and_remove, NULL); /* what libraries open once is open */
    before = descriptors();
    cr_assert_eq(run_and_stop(2, 10 * CO_MS, stop_meanwhile), 0);
    cr_assert_eq(count, 20);
    cr_assert_eq(descriptors(), before);
}

/* ---- no memory for the pool ---- */

static bool in_order(ssize_t r, ssize_t wanted, int *refused)
{
    *refused += r == -ENOMEM;
    return r == wanted || r == -ENOMEM;
}

static int lack_memory(void *arg)
{
    int before = descriptors(), refused = 0;
    struct co_file_info info;
    char buf[8];

    (void)arg;
    put_file("a", "12345678", 8);
    for (int i = 0; i < 300; i++) {
        CO_FILE(fd, co_file_open(in_folder("a"), O_RDWR, 0));

        CHECK(fd >= 0 || fd == -ENOMEM);
        refused += fd < 0;
        if (fd < 0)
            continue;
        CHECK(in_order(co_file_read(fd, buf, 8, 0), 8, &refused));
        CHECK(in_order(co_file_write(fd, "x", 1, 0), 1, &refused));
        CHECK(in_order(co_file_sync(fd), 0, &refused));
        CHECK(in_order(co_file_fstat(fd, &info), 0, &refused));
    }
    CHECK(descriptors() == before);
#ifdef CO_CHAOS_BUILD
    CHECK(refused > 0);
#endif
    return 0;
}

Test(file, without_memory_for_the_pool_calls_fail_and_close_works)
{
    run_scarce(1, lack_memory);
}
