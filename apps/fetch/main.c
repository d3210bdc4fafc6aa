/* SPDX-License-Identifier: MIT */
/*
 * apps/fetch - fetches URLs with libcurl, all at once, in one coroutine. Usage: fetch URL...
 *
 * libcurl says which descriptors it wants to be woken for, and when; Corvid waits for them. Other
 * coroutines run meanwhile, and CO_DEADLINE bounds the whole.
 */
#include <co/co.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

struct fetch {
    CURLM *multi;
    struct co_fd_wait waits[CO_FD_WAITS_MAX]; /* what libcurl waits for; fd -1: free */
    int64_t wake_at;                          /* when it wants to be called anyway */
    int error;
};

static struct co_fd_wait *find(struct fetch *fetch, int fd)
{
    for (int i = 0; i < CO_FD_WAITS_MAX; i++) {
        if (fetch->waits[i].fd == fd)
            return &fetch->waits[i];
    }
    return NULL;
}

/* libcurl wants to be woken for a descriptor, for something else than before, or no more. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
    struct fetch *fetch = arg;
    struct co_fd_wait *wait = find(fetch, fd);

    (void)easy;
    (void)unused;
    if (what == CURL_POLL_REMOVE) {
        if (wait)
            wait->fd = -1;
        (void)co_release(fd); /* libcurl is about to close it */
        return 0;
    }
    if (!wait) {
        wait = find(fetch, -1);
        fetch->error = wait ? co_adopt(fd) : -EMFILE;
        if (fetch->error < 0)
            return -1;
        wait->fd = fd;
    }
    wait->events =
        (what & CURL_POLL_IN ? CO_READABLE : 0) | (what & CURL_POLL_OUT ? CO_WRITABLE : 0);
    return 0;
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
    struct fetch *fetch = arg;

    (void)multi;
    fetch->wake_at = ms < 0 ? CO_NEVER : co_now() + ms * CO_MS;
    return 0;
}

/* Waits until libcurl has to be called. Returns: 1: for descriptors; 0: for its timer; or fails. */
static int wait_for_work(struct fetch *fetch)
{
    bool any = false;
    int r;

    for (int i = 0; i < CO_FD_WAITS_MAX; i++)
        any |= fetch->waits[i].fd >= 0;
    {
        CO_DEADLINE(fetch->wake_at == CO_NEVER ? CO_NEVER : fetch->wake_at - co_now());
        r = any ? co_fd_wait_any(fetch->waits, CO_FD_WAITS_MAX) : co_sleep(CO_NEVER);
    }
    if (r == -ETIMEDOUT)
        return co_check(); /* libcurl's time, or that of who called us */
    return r < 0 ? r : 1;
}

static int drive(struct fetch *fetch)
{
    int running = 1;
    int r = 0;

    (void)curl_multi_socket_action(fetch->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    while (running > 0 && r >= 0) {
        struct co_fd_wait ready[CO_FD_WAITS_MAX];

        r = wait_for_work(fetch);
        if (r == 0)
            (void)curl_multi_socket_action(fetch->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        memcpy(ready, fetch->waits, sizeof ready); /* the callbacks change the other */
        for (int i = 0; i < CO_FD_WAITS_MAX && r > 0; i++) {
            int what = (ready[i].ready & CO_READABLE ? CURL_CSELECT_IN : 0) |
                       (ready[i].ready & CO_WRITABLE ? CURL_CSELECT_OUT : 0);

            if (ready[i].fd >= 0 && what && find(fetch, ready[i].fd))
                (void)curl_multi_socket_action(fetch->multi, ready[i].fd, what, &running);
        }
        if (fetch->error < 0)
            r = fetch->error;
    }
    return r < 0 ? r : 0;
}

/* ---- the program ---- */

static size_t count_bytes(char *data, size_t size, size_t n, void *arg)
{
    (void)data;
    *(size_t *)arg += size * n;
    return size * n;
}

static int report(CURLM *multi)
{
    CURLMsg *message;
    int failed = 0, left;

    while ((message = curl_multi_info_read(multi, &left)) != NULL) {
        const char *url = "";
        long status = 0;
        size_t *bytes = NULL;

        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_EFFECTIVE_URL, &url);
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)(void *)&bytes);
        if (message->data.result == CURLE_OK)
            printf("%s %ld %zu\n", url, status, *bytes);
        else
            fprintf(stderr, "fetch: %s: %s\n", url, curl_easy_strerror(message->data.result));
        failed += message->data.result != CURLE_OK;
    }
    return failed;
}

static int fetch_all(char **urls, int count)
{
    static struct fetch fetch;
    static size_t bytes[CO_FD_WAITS_MAX];
    static CURL *easy[CO_FD_WAITS_MAX];
    int r;
    CO_DEADLINE(30 * CO_SEC);
    CO_PIN(); /* libraries beneath libcurl keep state per thread */

    for (int i = 0; i < CO_FD_WAITS_MAX; i++)
        fetch.waits[i].fd = -1;
    fetch.wake_at = CO_NEVER;
    fetch.multi = curl_multi_init();
    (void)curl_multi_setopt(fetch.multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(fetch.multi, CURLMOPT_SOCKETDATA, &fetch);
    (void)curl_multi_setopt(fetch.multi, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl_multi_setopt(fetch.multi, CURLMOPT_TIMERDATA, &fetch);
    for (int i = 0; i < count; i++) {
        easy[i] = curl_easy_init();
        (void)curl_easy_setopt(easy[i], CURLOPT_URL, urls[i]);
        (void)curl_easy_setopt(easy[i], CURLOPT_WRITEFUNCTION, count_bytes);
        (void)curl_easy_setopt(easy[i], CURLOPT_WRITEDATA, &bytes[i]);
        (void)curl_easy_setopt(easy[i], CURLOPT_PRIVATE, &bytes[i]);
        (void)curl_easy_setopt(easy[i], CURLOPT_NOSIGNAL, 1L);
        (void)curl_multi_add_handle(fetch.multi, easy[i]);
    }
    r = drive(&fetch);
    if (r == 0)
        r = report(fetch.multi) > 0 ? -EIO : 0;
    else
        fprintf(stderr, "fetch: %s\n", co_strerror(r));
    for (int i = 0; i < count; i++) {
        (void)curl_multi_remove_handle(fetch.multi, easy[i]);
        curl_easy_cleanup(easy[i]);
    }
    (void)curl_multi_cleanup(fetch.multi); /* closes what it kept open, and says so first */
    return r;
}

struct words {
    char **urls;
    int count;
};

static int first(void *arg)
{
    const struct words *words = arg;

    return fetch_all(words->urls, words->count);
}

int main(int argc, char *argv[])
{
    struct words words = {argv + 1, argc - 1};
    struct co_conf conf;
    int r;

    if (argc < 2 || argc > CO_FD_WAITS_MAX / 2) {
        fprintf(stderr, "usage: fetch URL... (at most %d)\n", CO_FD_WAITS_MAX / 2 - 1);
        return 2;
    }
    co_conf_init(&conf);
    conf.threads = 2;
    conf.stack_size = (int64_t)256 * 1024; /* for libcurl and what is beneath it */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return 1;
    r = co_run_with(&conf, first, &words);
    curl_global_cleanup();
    return r < 0;
}
