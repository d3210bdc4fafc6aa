/* SPDX-License-Identifier: MIT */
/*
 * tls.h - what the files of this folder share: a connection, the configurations behind contexts,
 * and the texts of errors.
 *
 * A connection's SSL object is not for two threads at once, but a stream has a reader and a writer.
 * So each call on it is made under the connection's lock, and holds it for that call only: nothing
 * waits there. OpenSSL keeps its queue of errors per thread, hence between a call and the look at
 * what it has left nothing may suspend; CO_NOSUSPEND says so wherever the lock is held.
 *
 * The bytes go through a BIO of ours (bio.c) that never waits. For reading it asks the socket, and
 * says "retry". For writing it always takes everything: what the socket does not take stays in
 * `out`, and the caller sends it after the lock was given back. OpenSSL so never has a record that
 * was written in part, and a reader's answer (to a key update, say) cannot get between the halves
 * of one.
 */
#ifndef CO_NETIO_TLS_H
#define CO_NETIO_TLS_H

#include <co/cond.h>
#include <co/latch.h>
#include <co/mutex.h>
#include <co/tls.h>
#include <openssl/ssl.h>

/* ---- connections ---- */

/* What waits for the socket. */
struct co__tls_out {
    char *mem;
    size_t len;
    size_t cap;
};

struct co__tls {
    int fd;
    SSL *ssl;
    struct co_mutex lock;   /* for ssl and all fields below */
    struct co_cond changed; /* somebody has waited for the socket */
    struct co__tls_out out;
    int wire;         /* what the socket has said during this call of OpenSSL */
    int failed;       /* the connection is of no use any more, and why */
    unsigned nothing; /* messages in a row that brought no data */
    bool established; /* the handshake is through */
    bool collecting;  /* the handshake: everything into `out`, and then out at once */
    bool sending;     /* the writer sends, without the lock; others leave theirs in `out` */
    bool broken;      /* a record is lost: nothing can be sent any more */
    bool finished;    /* we have said that we send no more */
    bool ended;       /* and so has the peer */
    bool eof;         /* the socket has ended */
    bool asked;       /* for co__recv_wait */
    bool waiting;     /* somebody waits for the socket; see conn.c */
    unsigned news;    /* how often bytes have come out of it, or somebody has waited */
    char *why;        /* of `failed`; NULL: none */
    char *host;       /* a client's; NULL: none */
    struct co__tls_config *config;
    struct co_tls_client *client; /* NULL: a server's */
    SSL_SESSION *offered;         /* by a client, until the handshake is through; NULL: none */
    struct co_tls_info info;
};

/* More of `nothing` than anybody needs: key updates, tickets, wishes to renegotiate. */
enum { CO__TLS_NOTHING_MOST = 32 };

extern const struct co_transport co__tls_transport;

/*
 * Makes a connection; it holds the configuration, which the caller gives.
 * Returns: NULL if there is no memory; the configuration stays the caller's then.
 */
struct co__tls *co__tls_new(int fd, struct co__tls_config *config);

/* Ends it, without a word to the peer, and leaves the descriptor alone. */
void co__tls_free(struct co__tls *tls);

/*
 * Returns: 0; -EAGAIN: the peer's turn; another negative errno, which is in tls->failed. Suspends:
 * for the lock.
 */
int co__tls_shake(struct co__tls *tls);

/* Sends what is in `out`. Returns: 0; a negative errno, and the stream is broken. Suspends: yes. */
int co__tls_flush(struct co__tls *tls);

/* Sends of it what goes at once. */
void co__tls_flush_now(struct co__tls *tls);

/* ---- bio.c ---- */

/* Returns: a BIO for the connection; NULL if there is no memory. */
BIO *co__tls_bio(struct co__tls *tls);

/*
 * Sends from `out` without waiting, if that is nobody else's business. What finds the socket full
 * goes with the next call of either direction. With the lock held.
 */
void co__tls_send_now(struct co__tls *tls);

/* ---- configurations: immutable, and counted ---- */

struct co__tls_entry {
    SSL_CTX *ctx;
    X509 *leaf;
};

struct co__tls_config {
    unsigned refs;
    int64_t timeout;     /* of the handshake */
    unsigned char *alpn; /* in the form of the wire */
    size_t alpn_len;
    struct co__tls_tickets *tickets; /* NULL: a client's */
    int count;
    struct co__tls_entry entries[]; /* a client has one, perhaps without a leaf */
};

/* Returns: a configuration with so many empty entries; NULL if there is no memory. */
struct co__tls_config *co__tls_config_new(int count);

/* Counts another holder. Returns: its argument. */
struct co__tls_config *co__tls_config_hold(struct co__tls_config *config);

/* Lets go of it; NULL is none. */
void co__tls_config_drop(struct co__tls_config *config);

/* Reads "h2,http/1.1". Returns: 0; -EINVAL, -ENOMEM. */
int co__tls_config_alpn(struct co__tls_config *config, const char *list, struct co_tls_why *why);

/*
 * Makes a context with what servers and clients have in common. Versions: 0 is the default.
 * Returns: 0; -EINVAL, -ENOMEM.
 */
int co__tls_ctx_new(const SSL_METHOD *method, int min_version, int max_version, SSL_CTX **ret_ctx,
                    struct co_tls_why *why);

/* Loads a certificate and its key. Returns: 0; what co_tls_server_new says. */
int co__tls_ctx_load(SSL_CTX *ctx, const struct co_tls_cert *cert, struct co_tls_why *why);

/*
 * Runs fn(job), which reads files, on the offload pool, or right here outside of coroutines.
 * Returns: what fn does; the errors of co_offload.
 */
int co__tls_off(int (*fn)(void *job), void *job);

/* Holds the configuration that a server has now, for the caller. */
struct co__tls_config *co__tls_server_config(struct co_tls_server *server);

/* ---- tickets of a server; see ticket.c ---- */

enum {
    CO__TLS_SESSION_LIFE = 2 * 3600, /* seconds in which a session may be gone on with */
    CO__TLS_SESSION_CONTEXT = 16,    /* bytes that tell whose sessions they are */
};

struct co__tls_tickets;

/* Makes what the tickets of a server have in common. Returns: NULL if there is no memory. */
struct co__tls_tickets *co__tls_tickets_new(void);

/* Counts another holder. Returns: its argument. */
struct co__tls_tickets *co__tls_tickets_hold(struct co__tls_tickets *tickets);

/* Lets go of it, and the last one wipes the keys; NULL is none. */
void co__tls_tickets_drop(struct co__tls_tickets *tickets);

/* Has a context, whose connections' configuration holds them, use them. */
void co__tls_tickets_serve(struct co__tls_tickets *tickets, SSL_CTX *ctx);

/* ---- sessions of a client ---- */

enum { CO__TLS_HOSTS = 64, CO__TLS_SESSIONS = 4 };

struct co__tls_host {
    char *name; /* NULL: the place is free */
    uint64_t used;
    int count;
    SSL_SESSION *sessions[CO__TLS_SESSIONS]; /* the newest last */
};

struct co__tls_sessions {
    struct co_latch latch;
    uint64_t clock;
    struct co__tls_host hosts[CO__TLS_HOSTS];
};

struct co_tls_client {
    struct co__tls_config *config;
    unsigned refs; /* the owner, and each connection: its sessions come here */
    bool verifies;
    struct co__tls_sessions sessions;
};

void co__tls_client_drop(struct co_tls_client *client);

/* After the handshake: keeps a ticket that has come in place of the one offered. */
void co__tls_client_note(struct co__tls *tls);

/* Keeps a session, which is taken over. */
void co__tls_sessions_put(struct co__tls_sessions *sessions, const char *host,
                          SSL_SESSION *session);

/* Returns: a session to go on with, the caller's; NULL. */
SSL_SESSION *co__tls_sessions_take(struct co__tls_sessions *sessions, const char *host);

void co__tls_sessions_done(struct co__tls_sessions *sessions);

/* ---- texts; all look at, and empty, this thread's queue of errors ---- */

/* Writes a text; why may be NULL. */
__attribute__((format(printf, 2, 3))) void co__tls_say(struct co_tls_why *why, const char *format,
                                                       ...);

/* For a file that could not be used. Returns: a negative errno. */
int co__tls_say_file(struct co_tls_why *why, const char *what, const char *file);

/* For a call on the connection that has failed. Returns: a negative errno. */
int co__tls_say_failure(const struct co__tls *tls, struct co_tls_why *why);

/* What SSL_CTX_set_verify is given: keeps in tls->why what is wrong with a peer's certificate. */
int co__tls_on_verify(int good, X509_STORE_CTX *store);

#endif
