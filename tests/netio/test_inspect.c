/* SPDX-License-Identifier: MIT */
/* tests/netio/test_inspect.c - who waits for a descriptor is listed with its number. */
#include <co/inspect.h>
#include <co/net.h>

#include "support/run.h"
#include <stdio.h>

TestSuite(inspect, .timeout = 60);

static int lfd;
static _Atomic int ended;

static void accept_one(void *arg)
{
    (void)arg;
    CHECK(co_accept(lfd) == -ECANCELED);
    atomic_fetch_add(&ended, 1);
}

static int pick(const struct co_info *info, void *arg)
{
    if (strcmp(info->name, "acceptor") != 0 || info->state != CO_STATE_PARKED)
        return 0;
    *(struct co_info *)arg = *info;
    return 1;
}

static int wait_on_a_listener(void *arg)
{
    static const struct co_opts opts = {.name = "acceptor"};
    struct co_info info = {0};
    char what[CO_INFO_WHAT];

    (void)arg;
    lfd = co_listen("127.0.0.1:0");
    CHECK(lfd >= 0);
    CHECK(co_go_with(&opts, accept_one, NULL) == 0);
    while (co_inspect(pick, &info) == 0)
        (void)co_yield();
    (void)snprintf(what, sizeof what, "descriptor %d to read", lfd);
    CHECK(strcmp(info.what, what) == 0);
    CHECK(co_hangup(lfd) == 0);
    until(&ended, 1);
    (void)co_close(lfd);
    return 0;
}

Test(inspect, who_waits_for_a_descriptor_is_shown_with_its_number)
{
    run_on(2, wait_on_a_listener, NULL);
}
