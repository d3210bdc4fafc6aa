/* SPDX-License-Identifier: MIT */
/*
 * ticket.c - the keys that a server's tickets are encrypted with; they change with time.
 *
 * Left to itself, OpenSSL makes keys once for each SSL_CTX and uses them until its end, so that who
 * gets hold of them reads all that went on with TLS 1.2 and tickets meanwhile. Ours are made when a
 * ticket is:
 *
 *   new: makes tickets and reads them  -> old, when it is PERIOD old
 *   old: reads them; who comes with one is given another  -> gone, PERIOD later
 *
 * A session may be gone on with for PERIOD, too: so none ends before its time for want of a key.
 * Nothing runs by itself: the first ticket that is made or read after its time moves a key on. The
 * keys are those of a server over all its reloads, as long as none of them has to do with
 * certificates of clients.
 */
#include "tls.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#define PERIOD ((int64_t)CO__TLS_SESSION_LIFE * CO_SEC)

enum { NAME = 16, IV = 16 }; /* bytes: OpenSSL's choice; a block of AES */

struct key {
    unsigned char name[NAME]; /* stands in the ticket */
    unsigned char mac[32];    /* for HMAC with SHA-256 */
    unsigned char cipher[32]; /* for AES-256-CBC */
    int64_t born;
};

struct co__tls_tickets {
    unsigned refs;
    unsigned char context[CO__TLS_SESSION_CONTEXT];
    struct co_latch latch; /* for what follows */
    int count;
    struct key keys[2]; /* the newer first */
};

struct co__tls_tickets *co__tls_tickets_new(void)
{
    struct co__tls_tickets *tickets = calloc(1, sizeof *tickets);

    if (!tickets)
        return NULL;
    tickets->refs = 1;
    if (RAND_bytes(tickets->context, sizeof tickets->context) == 1)
        return tickets;
    ERR_clear_error();
    free(tickets);
    return NULL;
}

struct co__tls_tickets *co__tls_tickets_hold(struct co__tls_tickets *tickets)
{
    /* relaxed: who holds it already keeps it alive meanwhile. */
    __atomic_fetch_add(&tickets->refs, 1, __ATOMIC_RELAXED);
    return tickets;
}

void co__tls_tickets_drop(struct co__tls_tickets *tickets)
{
    /* acq_rel: the last one frees after all that others have done with it. */
    if (!tickets || __atomic_sub_fetch(&tickets->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    OPENSSL_cleanse(tickets->keys, sizeof tickets->keys);
    free(tickets);
}

/* With the latch. */
static void forget_old(struct co__tls_tickets *tickets, int64_t now)
{
    while (tickets->count > 0 && now - tickets->keys[tickets->count - 1].born >= 2 * PERIOD)
        OPENSSL_cleanse(&tickets->keys[--tickets->count], sizeof tickets->keys[0]);
}

/* With the latch. Returns: whether there is a key to make tickets with, which is copied. */
static bool copy_new(struct co__tls_tickets *tickets, int64_t now, struct key *ret_key)
{
    if (tickets->count == 0 || now - tickets->keys[0].born >= PERIOD)
        return false;
    *ret_key = tickets->keys[0];
    return true;
}

/* The key to make tickets with, perhaps a new one. Returns: false: no random bytes. */
static bool take_new(struct co__tls_tickets *tickets, struct key *ret_key)
{
    int64_t now = co_now();
    struct key made;
    bool found;

    co_latch_take(&tickets->latch);
    forget_old(tickets, now);
    found = copy_new(tickets, now, ret_key);
    co_latch_give(&tickets->latch);
    if (found)
        return true;
    if (RAND_priv_bytes((unsigned char *)&made, offsetof(struct key, born)) != 1)
        return false;
    made.born = now;
    co_latch_take(&tickets->latch);
    if (!copy_new(tickets, now, ret_key)) { /* else another thread was quicker */
        tickets->keys[1] = tickets->keys[0];
        tickets->keys[0] = made;
        tickets->count = tickets->count > 0 ? 2 : 1;
        *ret_key = made;
    }
    co_latch_give(&tickets->latch);
    OPENSSL_cleanse(&made, sizeof made);
    return true;
}

/* The key of that name. Returns: 0: there is none (any more); 1: copied; 2: and is old. */
static int take_named(struct co__tls_tickets *tickets, const unsigned char *name,
                      struct key *ret_key)
{
    int64_t now = co_now();
    int found = 0;

    co_latch_take(&tickets->latch);
    forget_old(tickets, now);
    for (int i = 0; i < tickets->count && found == 0; i++) {
        if (memcmp(tickets->keys[i].name, name, NAME) != 0)
            continue;
        *ret_key = tickets->keys[i];
        found = now - ret_key->born < PERIOD ? 1 : 2;
    }
    co_latch_give(&tickets->latch);
    return found;
}

static bool use(struct key *key, const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                int makes)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, params) == 1 &&
           EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, makes) == 1;
}

/*
 * What OpenSSL calls to make a ticket or to read one, under the connection's lock.
 * Returns: 1; 2: it is good, and another is to be made; 0: it cannot be read; -1: an error.
 */
/* NOLINTNEXTLINE(readability-function-size): the parameters are OpenSSL's. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int makes)
{
    const struct co__tls *tls = SSL_get_app_data(ssl);
    struct co__tls_tickets *tickets = tls->config->tickets;
    struct key key;
    int result;

    if (makes)
        result = take_new(tickets, &key) && RAND_bytes(iv, IV) == 1 ? 1 : -1;
    else
        result = take_named(tickets, name, &key);
    if (result > 0 && makes)
        memcpy(name, key.name, NAME);
    if (result == 1 && !makes && SSL_version(ssl) == CO_TLS_1_3)
        result = 2; /* there a ticket is used once, and another one always wanted */
    if (result > 0 && !use(&key, iv, cipher, mac, makes))
        result = -1;
    OPENSSL_cleanse(&key, sizeof key);
    return result;
}

void co__tls_tickets_serve(struct co__tls_tickets *tickets, SSL_CTX *ctx)
{
    (void)SSL_CTX_set_session_id_context(ctx, tickets->context, sizeof tickets->context);
    (void)SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
    (void)SSL_CTX_set_timeout(ctx, CO__TLS_SESSION_LIFE);
}
