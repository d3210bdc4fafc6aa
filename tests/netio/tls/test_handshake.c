/* SPDX-License-Identifier: MIT */
/* The handshake between our own halves: what is agreed on, and what is refused in which words. */
#include "world.h"

TestSuite(tls_handshake, .init = make_world, .fini = end_world);

/* Without a look at anything but the result: both halves are ours. */
static int agree(void *arg)
{
    struct co_tls_server *server = new_server();
    struct co_tls_client *client = new_client();
    struct co_tls_info info = {0};
    struct both both;

    shake_well(server, client, &both);
    exchange(&both.client, &both.server.stream);
    CHECK(co_tls_describe(&both.client, &info) == 0);
    CHECK(info.version == *(int *)arg && info.has_peer_cert == 1 && info.resumed == 0);
    CHECK(co_tls_describe(&both.server.stream, &info) == 0);
    CHECK(info.version == *(int *)arg && info.has_peer_cert == 0);
    CHECK(info.server_name && strcmp(info.server_name, "example.test") == 0);
    CHECK(strcmp(co_tls_failure(&both.client), "") == 0);
    drop_both(&both);
    co_tls_client_free(client);
    co_tls_server_free(server);
    return 0;
}

Test(tls_handshake, tls_1_3_is_agreed_on_by_default)
{
    run_on(1, agree, &(int){CO_TLS_1_3});
    run_on(2, agree, &(int){CO_TLS_1_3});
}

Test(tls_handshake, tls_1_2_is_spoken_with_who_speaks_no_other)
{
    client_conf.max_version = CO_TLS_1_2;
    run_on(2, agree, &(int){CO_TLS_1_2});
}

/* ---- certificates that are no good ---- */

struct refusal {
    int result;         /* of the client */
    const char *why;    /* what its text has to hold */
    const char *theirs; /* what the server's has to hold */
};

static int be_refused(void *arg)
{
    const struct refusal *refusal = arg;
    struct co_tls_server *server = new_server();
    struct co_tls_client *client = new_client();
    struct both both;

    shake(server, client, "example.test", &both);
    if (both.result != refusal->result || !strstr(both.why.text, refusal->why))
        (void)fprintf(stderr, "client: %d %s\n", both.result, both.why.text);
    CHECK(both.result == refusal->result);
    CHECK(strstr(both.why.text, refusal->why));
    if (both.server.result != -EPROTO || !strstr(both.server.why.text, refusal->theirs))
        (void)fprintf(stderr, "server: %d %s\n", both.server.result, both.server.why.text);
    CHECK(both.server.result == -EPROTO);
    CHECK(strstr(both.server.why.text, refusal->theirs));
    drop_both(&both);
    co_tls_client_free(client);
    co_tls_server_free(server);
    return 0;
}

static void with_certificate(const struct issued *issuer, const struct wish *wish,
                             struct refusal refusal)
{
    struct issued made = issue(issuer, wish);

    host_cert = files_of(&made);
    run_on(2, be_refused, &refusal);
    client_conf.max_version = CO_TLS_1_2;
    run_on(2, be_refused, &refusal);
    forget_cert(&made);
}

Test(tls_handshake, an_expired_certificate_is_refused)
{
    with_certificate(
        &ca, &(struct wish){.name = "old", .hosts = "DNS:example.test", .from = -7200, .to = -3600},
        (struct refusal){-EKEYEXPIRED, "has expired", "certificate expired"});
}

Test(tls_handshake, a_certificate_from_the_future_is_refused)
{
    with_certificate(
        &ca, &(struct wish){.name = "new", .hosts = "DNS:example.test", .from = 7200, .to = 9000},
        (struct refusal){-EKEYREJECTED, "is not valid yet", "bad certificate"});
}

Test(tls_handshake, a_certificate_for_another_host_is_refused_and_its_names_are_told)
{
    with_certificate(
        &ca, &(struct wish){.name = "other", .hosts = "DNS:a.test,DNS:*.b.test,IP:10.1.2.3"},
        (struct refusal){-EKEYREJECTED, "not for example.test, but for: a.test *.b.test 10.1.2.3",
                         "has refused"});
}

Test(tls_handshake, a_self_signed_certificate_is_refused)
{
    with_certificate(NULL, &(struct wish){.name = "self", .hosts = "DNS:example.test"},
                     (struct refusal){-EKEYREJECTED, "is self-signed", "has refused"});
}

Test(tls_handshake, a_certificate_of_an_unknown_issuer_is_refused)
{
    struct issued stranger = issue(NULL, &(struct wish){.name = "stranger", .ca = 1});

    with_certificate(
        &stranger, &(struct wish){.name = "strange", .hosts = "DNS:example.test"},
        (struct refusal){-EKEYREJECTED, "an issuer whom we do not know", "unknown CA"});
    forget_cert(&stranger);
}

static int trust_system(void *arg)
{
    client_conf.ca_file = NULL;
    return be_refused(arg);
}

Test(tls_handshake, without_a_ca_file_the_system_says_who_is_trusted)
{
    run_on(2, trust_system,
           &(struct refusal){-EKEYREJECTED, "an issuer whom we do not know", "unknown CA"});
}

static int reach_address(void *arg)
{
    struct co_tls_server *server = new_server();
    struct co_tls_client *client = new_client();
    struct co_tls_info info = {0};
    struct both both;

    (void)arg;
    shake(server, client, "127.0.0.1", &both);
    CHECK(both.result == 0 && both.server.result == 0);
    CHECK(co_tls_describe(&both.server.stream, &info) == 0 && !info.server_name);
    drop_both(&both);
    shake(server, client, "127.0.0.2", &both);
    CHECK(both.result == -EKEYREJECTED);
    CHECK(strstr(both.why.text, "not for 127.0.0.2, but for: example.test 127.0.0.1"));
    drop_both(&both);
    shake(server, client, "example.test.", &both); /* the dot of the root is no part of it */
    CHECK(both.result == 0 && both.server.result == 0);
    drop_both(&both);
    shake(server, client, NULL, &both);
    CHECK(both.result == -EINVAL);
    drop_both(&both);
    co_tls_client_free(client);
    co_tls_server_free(server);
    return 0;
}

Test(tls_handshake, a_certificate_may_be_for_an_address)
{
    run_on(2, reach_address, NULL);
}
