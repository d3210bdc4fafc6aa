/* SPDX-License-Identifier: MIT */
/*
 * tests/netio/tls/certs.h - certificates for a test, made by it in a folder of its own.
 *
 * Every test has its authority, `ca`; issue() makes a certificate by it, or by another one.
 */
#ifndef TESTS_NETIO_TLS_CERTS_H
#define TESTS_NETIO_TLS_CERTS_H

#include "support/test.h"
#include <co/tls.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What a certificate is to be. */
struct wish {
    const char *name;  /* of the files, and the common name */
    const char *hosts; /* "DNS:example.test,IP:127.0.0.1"; NULL: none */
    int from, to;      /* seconds from now; 0, 0: since an hour, for a day */
    int ca;            /* 1: may issue others */
    int rsa;           /* bits; 0: ECDSA on P-256 */
};

struct issued {
    X509 *cert;
    EVP_PKEY *key;
    char chain[128]; /* files */
    char keyfile[128];
};

static char certs_folder[64];

static inline void extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;

    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    cr_assert_not_null(ext);
    (void)X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
}

static inline void write_pem(const char *path, X509 *cert, EVP_PKEY *key)
{
    FILE *file = fopen(path, "w");

    cr_assert_not_null(file);
    if (cert)
        cr_assert_eq(PEM_write_X509(file, cert), 1);
    if (key)
        cr_assert_eq(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    cr_assert_eq(fclose(file), 0);
}

/* Makes a certificate; issuer NULL: it signs itself. */
static inline struct issued issue(const struct issued *issuer, const struct wish *wish)
{
    static long serial = 1;
    struct issued made = {.cert = X509_new(),
                          .key =
                              wish->rsa ? EVP_RSA_gen((unsigned)wish->rsa) : EVP_EC_gen("P-256")};
    X509_NAME *name = X509_get_subject_name(made.cert);
    X509 *by = issuer ? issuer->cert : made.cert;

    if (!certs_folder[0]) {
        (void)snprintf(certs_folder, sizeof certs_folder, "/tmp/corvid-tls-XXXXXX");
        cr_assert_not_null(mkdtemp(certs_folder));
    }
    cr_assert_not_null(made.key);
    (void)X509_set_version(made.cert, 2);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(made.cert), serial++ + (long)getpid() * 1000);
    (void)X509_gmtime_adj(X509_getm_notBefore(made.cert),
                          wish->from || wish->to ? wish->from : -3600);
    (void)X509_gmtime_adj(X509_getm_notAfter(made.cert), wish->from || wish->to ? wish->to : 86400);
    (void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)wish->name,
                                     -1, -1, 0);
    (void)X509_set_issuer_name(made.cert, X509_get_subject_name(by));
    (void)X509_set_pubkey(made.cert, made.key);
    extend(made.cert, by, NID_basic_constraints, wish->ca ? "critical,CA:TRUE" : "CA:FALSE");
    extend(made.cert, by, NID_subject_key_identifier, "hash");
    if (wish->hosts)
        extend(made.cert, by, NID_subject_alt_name, wish->hosts);
    cr_assert_gt(X509_sign(made.cert, issuer ? issuer->key : made.key, EVP_sha256()), 0);
    (void)snprintf(made.chain, sizeof made.chain, "%s/%s.pem", certs_folder, wish->name);
    (void)snprintf(made.keyfile, sizeof made.keyfile, "%s/%s.key", certs_folder, wish->name);
    write_pem(made.chain, made.cert, NULL);
    write_pem(made.keyfile, NULL, made.key);
    return made;
}

static inline void forget_cert(struct issued *made)
{
    X509_free(made->cert);
    EVP_PKEY_free(made->key);
    (void)unlink(made->chain);
    (void)unlink(made->keyfile);
}

static inline struct co_tls_cert files_of(const struct issued *made)
{
    return (struct co_tls_cert){made->chain, made->keyfile};
}

#endif
