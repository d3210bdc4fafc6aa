/* SPDX-License-Identifier: MIT */
/* Sessions: which are gone on with, which must not be. */
#include "support/clock.h"
#include "world.h"

TestSuite(tls_session, .init = make_world, .fini = end_world);

#define PERIOD (2 * 3600 * CO_SEC) /* after it a server makes tickets with another key */

/* Connects, lets the tickets come, says good-bye. Returns: whether an earlier session went on. */
static bool visit(struct co_tls_server *server, struct co_tls_client *client, const char *name)
{
    struct co_tls_info ours = {0}, theirs = {0};
    struct both both;
    char byte;

    shake(server, client, name, &both);
    if (both.result < 0 || both.server.result < 0)
        (void)fprintf(stderr, "client: %d %s; server: %d %s\n", both.result, both.why.text,
                      both.server.result, both.server.why.text);
    CHECK(both.result == 0 && both.server.result == 0);
    exchange(&both.client, &both.server.stream);
    CHECK(co_tls_describe(&both.client, &ours) == 0 &&
          co_tls_describe(&both.server.stream, &theirs) == 0);
    CHECK(ours.resumed == theirs.resumed);
    CHECK(co_stream_close(&both.server.stream) == 0);
    CHECK(co_stream_read(&both.client, &byte, 1) == 0);
    (void)co_stream_close(&both.client); /* the peer does not listen any more */
    return ours.resumed;
}

static int come_again(void *arg)
{
    struct co_tls_server *server = new_server();
    struct co_tls_client *client = new_client();
    struct co_tls_client *stranger = new_client();

    (void)arg;
    CHECK(!visit(server, client, "example.test"));
    for (int i = 0; i < 6; i++)
        CHECK(visit(server, client, "example.test"));
    CHECK(!visit(server, client, "127.0.0.1")); /* another name, another session */
    CHECK(visit(server, client, "127.0.0.1"));
    CHECK(!visit(server, stranger, "example.test"));
    co_tls_client_free(client);
    co_tls_client_free(stranger);
    co_tls_server_free(server);
    return 0;
}

Test(tls_session, who_comes_again_goes_on)
{
    run_on(2, come_again, NULL);
    client_conf.max_version = CO_TLS_1_2;
    run_on(2, come_again, NULL);
}

static int go_elsewhere(void *arg)
{
    struct co_tls_server *one = new_server(), *two = new_server();
    struct co_tls_client *client = new_client();

    (void)arg;
    CHECK(!visit(one, client, "example.test"));
    CHECK(!visit(two, client, "example.test"));
    co_tls_client_free(client);
    co_tls_server_free(one);
    co_tls_server_free(two);
    return 0;
}

Test(tls_session, a_session_of_one_server_is_nothing_to_another)
{
    run_on(2, go_elsewhere, NULL);
    client_conf.max_version = CO_TLS_1_2;
    run_on(2, go_elsewhere, NULL);
}

static int reload_between(void *arg)
{
    struct co_tls_server *server = new_server();
    struct co_tls_client *client = new_client();
    struct co_tls_why why = {""};

    (void)arg;
    CHECK(!visit(server, client, "example.test"));
    CHECK(co_tls_server_reload(server, &server_conf, &why) == 0);
    CHECK(visit(server, client, "example.test"));
    /* From now on a certificate is asked for: sessions from before would go around that. */
    server_conf.client_cert = CO_TLS_CLIENT_OPTIONAL;
    server_conf.client_ca = ca.chain;
    CHECK(co_tls_server_reload(server, &server_conf, &why) == 0);
    CHECK(!visit(server, client, "example.test"));
    CHECK(visit(server, client, "example.test"));
    /* And who may have issued them is told anew with each reload. */
    CHECK(co_tls_server_reload(server, &server_conf, &why) == 0);
    CHECK(!visit(server, client, "example.test"));
    /* The way back. */
    server_conf.client_cert = CO_TLS_CLIENT_NONE;
    CHECK(co_tls_server_reload(server, &server_conf, &why) == 0);
    CHECK(!visit(server, client, "example.test"));
    co_tls_client_free(client);
    co_tls_server_free(server);
    return 0;
}

Test(tls_session, a_reload_keeps_sessions_unless_clients_are_asked_for_certificates)
{
    run_on(2, reload_between, NULL);
}

/* A client that has shown its certificate once goes on with that. */
static int show_once(void *arg)
{
    struct issued made = issue(&ca, &(struct wish){.name = "client"});
    struct co_tls_cert cert = files_of(&made);
    struct co_tls_server *server;
    struct co_tls_client *client;
    struct both both;
    char subject[64];

    (void)arg;
    server_conf.client_cert = CO_TLS_CLIENT_REQUIRED;
    server_conf.client_ca = ca.chain;
    client_conf.cert = &cert;
    server = new_server();
    client = new_client();
    CHECK(!visit(server, client, "example.test"));
    CHECK(visit(server, client, "example.test"));
    shake_well(server, client, &both);
    CHECK(co_tls_peer_subject(&both.server.stream, subject, sizeof subject) == 9);
    CHECK(strcmp(subject, "CN=client") == 0);
    drop_both(&both);
    co_tls_client_free(client);
    co_tls_server_free(server);
    forget_cert(&made);
    return 0;
}

Test(tls_session, one_that_goes_on_knows_the_certificate_of_the_client)
{
    run_on(2, show_once, NULL);
    client_conf.max_version = CO_TLS_1_2;
    run_on(2, show_once, NULL);
}

static int remember_many(void *arg)
{
    struct co_tls_server *server = new_server();
    struct co_tls_client *client;
    char name[32];

    (void)arg;
    client_conf.trust_anybody = 1;
    client = new_client();
    for (int i = 0; i < 65; i++) {
        (void)snprintf(name, sizeof name, "host%d.test", i);
        CHECK(!visit(server, client, name));
    }
    CHECK(!visit(server, client, "host0.test")); /* made room for the last one; takes that of 1 */
    CHECK(visit(server, client, "host2.test"));
    CHECK(visit(server, client, "host64.test"));
    co_tls_client_free(client);
    co_tls_server_free(server);
    return 0;
}

Test(tls_session, a_client_remembers_64_hosts)
{
    run_on(2, remember_many, NULL);
}

/* ---- many at once ---- */

struct visitors {
    struct co_tls_server *server;
    struct co_tls_client *client;
    _Atomic int visits, done, resumed;
};

static void visit_often(void *arg)
{
    struct visitors *visitors = arg;

    for (int i = 0; i < 4 + fewer(36); i++) {
        atomic_fetch_add(&visitors->resumed,
                         visit(visitors->server, visitors->client, "example.test"));
        atomic_fetch_add(&visitors->visits, 1);
    }
    atomic_fetch_add(&visitors->done, 1);
}

static int visit_together(void *arg)
{
    struct visitors visitors = {.server = new_server(), .client = new_client()};

    (void)arg;
    for (int i = 0; i < 8; i++)
        start(visit_often, &visitors);
    until(&visitors.done, 8);
    CHECK(atomic_load(&visitors.resumed) > 0);
    co_tls_client_free(visitors.client);
    co_tls_server_free(visitors.server);
    return 0;
}

Test(tls_session, many_share_the_memory_of_a_client)
{
    run_on(3, visit_together, NULL);
    client_conf.max_version = CO_TLS_1_2;
    run_on(3, visit_together, NULL);
}

static int outlive(void *arg)
{
    struct co_tls_server *server = new_server();
    struct co_tls_client *client = new_client();
    struct both both;

    (void)arg;
    shake_well(server, client, &both);
    co_tls_client_free(client);
    co_tls_server_free(server);
    exchange(&both.client, &both.server.stream);
    CHECK(co_stream_close(&both.server.stream) == 0);
    (void)co_stream_close(&both.client); /* the peer does not listen any more */
    return 0;
}

Test(tls_session, connections_outlive_their_contexts)
{
    run_on(2, outlive, NULL);
}

/* ---- keys change with time; OpenSSL's own clock, which ends sessions, goes on as ever ---- */

static void make_world_and_stop_the_clock(void)
{
    make_world();
    co__clock_stop(false);
}

static int come_each_period(void *arg)
{
    struct co_tls_server *server = new_server();
    struct co_tls_client *client = new_client(), *rare = new_client();

    (void)arg;
    CHECK(!visit(server, client, "example.test"));
    CHECK(!visit(server, rare, "example.test"));
    for (int i = 0; i < 3; i++) {
        co__clock_advance(PERIOD);
        CHECK(visit(server, client, "example.test")); /* and is given a ticket of the new key */
    }
    CHECK(!visit(server, rare, "example.test"));
    CHECK(visit(server, rare, "example.test"));
    co_tls_client_free(client);
    co_tls_client_free(rare);
    co_tls_server_free(server);
    return 0;
}

Test(tls_session, a_key_for_tickets_is_good_for_two_periods_and_who_comes_gets_a_new_ticket,
     .init = make_world_and_stop_the_clock)
{
    run_on(2, come_each_period, NULL);
    client_conf.max_version = CO_TLS_1_2;
    run_on(2, come_each_period, NULL);
}

static int come_at_the_last_moment(void *arg)
{
    struct co_tls_server *server = new_server();
    struct co_tls_client *client = new_client();

    (void)arg;
    CHECK(!visit(server, client, "example.test"));
    co__clock_advance(2 * PERIOD - 1); /* nobody else comes, but keys grow old all the same */
    CHECK(visit(server, client, "example.test"));
    co__clock_advance(2 * PERIOD);
    CHECK(!visit(server, client, "example.test"));
    co_tls_client_free(client);
    co_tls_server_free(server);
    return 0;
}

Test(tls_session, keys_grow_old_also_when_nobody_comes, .init = make_world_and_stop_the_clock)
{
    run_on(2, come_at_the_last_moment, NULL);
    client_conf.max_version = CO_TLS_1_2;
    run_on(2, come_at_the_last_moment, NULL);
}

static int reload_often(void *arg)
{
    struct co_tls_server *server = new_server();
    struct co_tls_client *client = new_client(), *rare = new_client();

    (void)arg;
    CHECK(!visit(server, client, "example.test"));
    CHECK(!visit(server, rare, "example.test"));
    for (int i = 0; i < 4; i++) {
        co__clock_advance(PERIOD / 2);
        CHECK(co_tls_server_reload(server, &server_conf, NULL) == 0);
        CHECK(visit(server, client, "example.test"));
    }
    CHECK(!visit(server, rare, "example.test"));
    co_tls_client_free(client);
    co_tls_client_free(rare);
    co_tls_server_free(server);
    return 0;
}

Test(tls_session, a_reload_does_not_lengthen_the_life_of_a_key,
     .init = make_world_and_stop_the_clock)
{
    run_on(2, reload_often, NULL);
}

static int change_meanwhile(void *arg)
{
    struct visitors visitors = {.client = new_client()};
    int seen = 0;

    (void)arg;
    server_conf.handshake_timeout = 1000 * PERIOD;
    visitors.server = new_server();
    for (int i = 0; i < 8; i++)
        start(visit_often, &visitors);
    while (atomic_load(&visitors.done) < 8) {
        int visits = atomic_load(&visitors.visits);

        if (visits != seen) /* not faster, or a handshake may come to its time-out */
            co__clock_advance(PERIOD / 8);
        seen = visits;
        (void)co_yield();
    }
    /* What the others were given may be too old by now. */
    (void)visit(visitors.server, visitors.client, "example.test");
    CHECK(visit(visitors.server, visitors.client, "example.test"));
    co_tls_client_free(visitors.client);
    co_tls_server_free(visitors.server);
    return 0;
}

Test(tls_session, keys_change_while_many_shake_hands, .init = make_world_and_stop_the_clock)
{
    client_conf.handshake_timeout = 1000 * PERIOD;
    run_on(3, change_meanwhile, NULL);
    client_conf.max_version = CO_TLS_1_2;
    run_on(3, change_meanwhile, NULL);
}
