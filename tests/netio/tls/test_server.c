/* SPDX-License-Identifier: MIT */
/* Contexts of servers: certificates by name, protocols, certificates of clients, reloads, files. */
#include "world.h"

#include <limits.h>

TestSuite(tls_server, .init = make_world, .fini = end_world);

/* ---- names ---- */

/* The common name of the certificate that a client gets who asks for a name. */
static void name_shown(struct co_tls_server *server, const char *name, char ret_subject[64])
{
    struct co_tls_client *client;
    struct both both;

    client_conf.trust_anybody = 1; /* the certificate need not fit: that is looked at below */
    client = new_client();
    shake(server, client, name, &both);
    CHECK(both.result == 0 && both.server.result == 0);
    CHECK(co_tls_peer_subject(&both.client, ret_subject, 64) > 0);
    drop_both(&both);
    co_tls_client_free(client);
}

static int ask_for_names(void *arg)
{
    static const char *const expected[][2] = {
        {"example.test", "CN=host"},     {"www.example.test", "CN=www"},
        {"WWW.Example.Test", "CN=www"},  {"x.example.test", "CN=any"},
        {"x.y.example.test", "CN=host"}, {"unknown.test", "CN=host"},
        {"127.0.0.1", "CN=host"},        {NULL, "CN=host"},
    };
    struct issued any = issue(&ca, &(struct wish){.name = "any", .hosts = "DNS:*.example.test"});
    struct issued www = issue(&ca, &(struct wish){.name = "www", .hosts = "DNS:www.example.test"});
    struct co_tls_cert certs[] = {host_cert, files_of(&any), files_of(&www)};
    struct co_tls_server *server;
    char subject[64];

    (void)arg;
    server_conf.certs = certs;
    server_conf.cert_count = 3;
    server = new_server();
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        name_shown(server, expected[i][0], subject);
        if (strcmp(subject, expected[i][1]) != 0)
            (void)fprintf(stderr, "%s: %s\n", expected[i][0], subject);
        CHECK(strcmp(subject, expected[i][1]) == 0);
    }
    co_tls_server_free(server);
    forget_cert(&any);
    forget_cert(&www);
    return 0;
}

Test(tls_server, the_certificate_is_that_of_the_name_exactly_or_by_wildcard_or_the_first)
{
    run_on(2, ask_for_names, NULL);
    client_conf.max_version = CO_TLS_1_2;
    run_on(2, ask_for_names, NULL);
}

/* ---- protocols ---- */

static void speak(const char *ours, const char *theirs, const char *expected)
{
    struct co_tls_info info = {0};
    struct co_tls_server *server;
    struct co_tls_client *client;
    struct both both;

    server_conf.alpn = theirs;
    client_conf.alpn = ours;
    server = new_server();
    client = new_client();
    shake(server, client, "example.test", &both);
    if (expected) {
        CHECK(both.result == 0 && both.server.result == 0);
        CHECK(co_tls_describe(&both.client, &info) == 0 && strcmp(info.alpn, expected) == 0);
        CHECK(co_tls_describe(&both.server.stream, &info) == 0 && strcmp(info.alpn, expected) == 0);
    } else {
        CHECK(both.result == -EPROTO && strstr(both.why.text, "no application protocol"));
        CHECK(both.server.result == -EPROTO);
    }
    drop_both(&both);
    co_tls_client_free(client);
    co_tls_server_free(server);
}

static int speak_protocols(void *arg)
{
    (void)arg;
    speak("h2,http/1.1", "h2,http/1.1", "h2");
    speak("http/1.1,h2", "h2,http/1.1", "h2"); /* the server's order counts */
    speak("http/1.1", "h2,http/1.1", "http/1.1");
    speak("spdy", "h2,http/1.1", NULL);
    speak(NULL, "h2", "");
    speak("h2", NULL, "");
    return 0;
}

Test(tls_server, the_protocol_is_the_first_of_the_server_that_the_client_speaks)
{
    run_on(2, speak_protocols, NULL);
    client_conf.max_version = CO_TLS_1_2;
    run_on(2, speak_protocols, NULL);
}

/* ---- certificates of clients ---- */

/* What becomes of a client that shows this certificate, or none. */
static void show(int mode, const struct issued *made, int expected, const char *why)
{
    struct co_tls_cert cert = made ? files_of(made) : (struct co_tls_cert){0};
    struct co_tls_info info = {0};
    struct co_tls_server *server;
    struct co_tls_client *client;
    struct both both;
    char buf[2048];

    server_conf.client_cert = mode;
    server_conf.client_ca = ca.chain;
    client_conf.cert = made ? &cert : NULL;
    server = new_server();
    client = new_client();
    shake(server, client, "example.test", &both);
    if (both.server.result != expected)
        (void)fprintf(stderr, "server: %d %s\n", both.server.result, both.server.why.text);
    CHECK(both.server.result == expected);
    if (expected == 0) {
        CHECK(both.result == 0);
        CHECK(co_tls_describe(&both.server.stream, &info) == 0 &&
              info.has_peer_cert == (made != NULL));
        CHECK((co_tls_peer_der(&both.server.stream, buf, sizeof buf) > 200) == (made != NULL));
        CHECK((co_tls_peer_der(&both.server.stream, buf, 1) == -ENODATA) == (made == NULL));
        exchange(&both.client, &both.server.stream);
    } else {
        CHECK(strstr(both.server.why.text, why));
        /* With TLS 1.3 the client hears it only when it reads. */
        CHECK(both.result == -EPROTO ||
              (both.result == 0 && co_stream_read(&both.client, buf, 8) == -EPROTO &&
               strstr(co_tls_failure(&both.client), "has refused")));
    }
    drop_both(&both);
    co_tls_client_free(client);
    co_tls_server_free(server);
}

static int show_certificates(void *arg)
{
    struct issued stranger = issue(NULL, &(struct wish){.name = "stranger", .ca = 1});
    struct issued good = issue(&ca, &(struct wish){.name = "good"});
    struct issued bad = issue(&stranger, &(struct wish){.name = "bad"});
    struct issued old = issue(&ca, &(struct wish){.name = "old", .from = -7200, .to = -3600});

    (void)arg;
    show(CO_TLS_CLIENT_OPTIONAL, NULL, 0, NULL);
    show(CO_TLS_CLIENT_OPTIONAL, &good, 0, NULL);
    show(CO_TLS_CLIENT_OPTIONAL, &bad, -EKEYREJECTED, "an issuer whom we do not know");
    show(CO_TLS_CLIENT_REQUIRED, &good, 0, NULL);
    show(CO_TLS_CLIENT_REQUIRED, NULL, -EKEYREJECTED, "has shown no certificate");
    show(CO_TLS_CLIENT_REQUIRED, &bad, -EKEYREJECTED, "an issuer whom we do not know");
    show(CO_TLS_CLIENT_REQUIRED, &old, -EKEYEXPIRED, "has expired");
    show(CO_TLS_CLIENT_NONE, NULL, 0, NULL);
    forget_cert(&stranger);
    forget_cert(&good);
    forget_cert(&bad);
    forget_cert(&old);
    return 0;
}

Test(tls_server, certificates_of_clients_are_looked_at_as_told)
{
    run_on(2, show_certificates, NULL);
    client_conf.max_version = CO_TLS_1_2;
    run_on(2, show_certificates, NULL);
}

/* ---- reloads ---- */

static int replace(void *arg)
{
    struct co_tls_server *server = new_server();
    struct issued made = issue(&ca, &(struct wish){.name = "newer", .hosts = "DNS:example.test"});
    struct co_tls_client *client = new_client();
    struct co_tls_why why = {""};
    struct both before;
    char subject[64];

    (void)arg;
    shake_well(server, client, &before);
    host_cert = files_of(&made);
    CHECK(co_tls_server_reload(server, &server_conf, &why) == 0);
    name_shown(server, "example.test", subject);
    CHECK(strcmp(subject, "CN=newer") == 0);
    exchange(&before.client, &before.server.stream); /* it goes on */
    CHECK(co_tls_peer_subject(&before.client, subject, sizeof subject) > 0);
    CHECK(strcmp(subject, "CN=host") == 0);

    CHECK(truncate(made.keyfile, 0) == 0);
    CHECK(co_tls_server_reload(server, &server_conf, &why) == -EINVAL);
    CHECK(strstr(why.text, "newer.key: cannot use the private key: "));
    name_shown(server, "example.test", subject);
    CHECK(strcmp(subject, "CN=newer") == 0);
    drop_both(&before);
    co_tls_client_free(client);
    co_tls_server_free(server);
    forget_cert(&made);
    return 0;
}

Test(tls_server, a_reload_is_for_those_who_come_and_one_that_fails_changes_nothing)
{
    run_on(2, replace, NULL);
}

struct load {
    struct co_tls_server *server;
    struct co_tls_client *client;
    _Atomic int stop, done, visits;
};

static void visit_all_the_time(void *arg)
{
    struct load *load = arg;

    while (atomic_load(&load->stop) == 0) {
        struct both both;

        shake_well(load->server, load->client, &both);
        exchange(&both.client, &both.server.stream);
        drop_both(&both);
        atomic_fetch_add(&load->visits, 1);
    }
    atomic_fetch_add(&load->done, 1);
}

static int reload_under_load(void *arg)
{
    struct load load = {.server = new_server(), .client = new_client()};

    (void)arg;
    for (int i = 0; i < 4; i++)
        start(visit_all_the_time, &load);
    for (int i = 0; i < fewer(50); i++) {
        int visits = atomic_load(&load.visits);

        CHECK(co_tls_server_reload(load.server, &server_conf, NULL) == 0);
        until(&load.visits, visits + 2);
    }
    atomic_store(&load.stop, 1);
    until(&load.done, 4);
    co_tls_client_free(load.client);
    co_tls_server_free(load.server);
    return 0;
}

Test(tls_server, reloads_under_load_disturb_nobody, .timeout = 120)
{
    run_on(3, reload_under_load, NULL);
}

/* ---- what it is made of ---- */

static void refuse(const struct co_tls_server_conf *conf, int expected, const char *text)
{
    struct co_tls_server *server = NULL;
    struct co_tls_why why = {""};
    int r = co_tls_server_new(conf, &server, &why);

    cr_assert_eq(r, expected, "%d %s", r, why.text);
    cr_assert_null(server);
    cr_assert_not_null(strstr(why.text, text), "%s", why.text);
    cr_assert_eq(co_tls_server_new(conf, &server, NULL), expected);
}

/* Outside of coroutines it works as well, and reads files right there. */
Test(tls_server, files_that_are_no_good_are_named)
{
    struct issued other = issue(&ca, &(struct wish){.name = "other"});
    struct co_tls_cert cert = host_cert;
    struct co_tls_server_conf conf = {.certs = &cert, .cert_count = 1};
    char path[PATH_MAX];
    FILE *file;

    cert.chain = "/nowhere.pem";
    refuse(&conf, -ENOENT, "/nowhere.pem: cannot use the certificate: No such file");
    cert = (struct co_tls_cert){host.keyfile, host.keyfile};
    refuse(&conf, -EINVAL, "host.key: cannot use the certificate: ");
    cert = (struct co_tls_cert){host.chain, NULL};
    refuse(&conf, -EINVAL, "host.pem: cannot use the private key: ");
    cert = (struct co_tls_cert){host.chain, other.keyfile};
    refuse(&conf, -EINVAL, "other.key: cannot use the private key: key values mismatch");
    cert = (struct co_tls_cert){NULL, host.keyfile};
    refuse(&conf, -EINVAL, "has no file");

    /* A key that is encrypted: nobody is asked for the word. */
    (void)snprintf(path, sizeof path, "%s/secret.key", certs_folder);
    file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_eq(
        PEM_write_PKCS8PrivateKey(file, host.key, EVP_aes_128_cbc(), "word", 4, NULL, NULL), 1);
    (void)fclose(file);
    cert = (struct co_tls_cert){host.chain, path};
    refuse(&conf, -EINVAL, "secret.key: cannot use the private key: ");
    (void)unlink(path);

    cert = host_cert;
    conf.client_cert = CO_TLS_CLIENT_REQUIRED;
    conf.client_ca = "/nowhere.pem";
    refuse(&conf, -ENOENT, "/nowhere.pem: cannot use the authorities for clients: No such file");
    forget_cert(&other);
}

Test(tls_server, settings_that_make_no_sense_are_refused)
{
    struct co_tls_server_conf conf = server_conf;
    struct co_tls_client_conf client = {.min_version = CO_TLS_1_3, .max_version = CO_TLS_1_2};
    struct co_tls_client *made = NULL;
    struct co_tls_why why = {""};
    char names[300];

    conf.cert_count = 0;
    refuse(&conf, -EINVAL, "needs a certificate");
    conf = server_conf;
    conf.client_cert = 3;
    refuse(&conf, -EINVAL, "client_cert");
    conf.client_cert = CO_TLS_CLIENT_OPTIONAL;
    refuse(&conf, -EINVAL, "client_ca");
    conf = server_conf;
    conf.min_version = 0x0301;
    refuse(&conf, -EINVAL, "versions");
    conf = server_conf;
    conf.handshake_timeout = -1;
    refuse(&conf, -EINVAL, "handshake_timeout");
    conf = server_conf;
    conf.alpn = "h2,,http/1.1";
    refuse(&conf, -EINVAL, "alpn");
    conf.alpn = "h2,";
    refuse(&conf, -EINVAL, "alpn");
    conf.alpn = "a-name-that-is-longer-than-any-in-use";
    refuse(&conf, -EINVAL, "alpn");
    memset(names, 'x', sizeof names);
    names[299] = '\0';
    conf.alpn = names;
    refuse(&conf, -EINVAL, "alpn");

    cr_assert_eq(co_tls_client_new(&client, &made, &why), -EINVAL);
    cr_assert_not_null(strstr(why.text, "versions"));
    client = (struct co_tls_client_conf){.handshake_timeout = -1};
    cr_assert_eq(co_tls_client_new(&client, &made, &why), -EINVAL);
    client = (struct co_tls_client_conf){.ca_file = "/nowhere.pem"};
    cr_assert_eq(co_tls_client_new(&client, &made, &why), -ENOENT);
    cr_assert_not_null(strstr(why.text, "/nowhere.pem: cannot use the authorities"));
    cr_assert_null(made);
}

/* A chain of three, of which the client knows the root alone. */
static int lead_to_root(void *arg)
{
    struct issued middle = issue(&ca, &(struct wish){.name = "middle", .ca = 1});
    struct issued leaf =
        issue(&middle, &(struct wish){.name = "leaf", .hosts = "DNS:example.test", .rsa = 2048});
    struct co_tls_server *server;
    struct co_tls_client *client = new_client();
    struct both both;
    FILE *file;

    (void)arg;
    host_cert = files_of(&leaf);
    server = new_server();
    shake(server, client, "example.test", &both);
    CHECK(both.result == -EKEYREJECTED && strstr(both.why.text, "issuer"));
    drop_both(&both);
    file = fopen(leaf.chain, "a");
    CHECK(file && PEM_write_X509(file, middle.cert) == 1 && fclose(file) == 0);
    CHECK(co_tls_server_reload(server, &server_conf, NULL) == 0);
    shake_well(server, client, &both);
    drop_both(&both);
    co_tls_client_free(client);
    co_tls_server_free(server);
    forget_cert(&middle);
    forget_cert(&leaf);
    return 0;
}

Test(tls_server, a_chain_is_sent_whole)
{
    run_on(2, lead_to_root, NULL);
}
