/* SPDX-License-Identifier: MIT */
/*
 * co/tls.h - TLS 1.2 and 1.3 for streams: contexts of servers and clients, the handshake, and what
 * one may ask of a connection. Link corvid-tls.
 *
 * A context is made once and used by any number of connections on all workers. Where something
 * fails for a reason that a number cannot tell, the text goes into a struct co_tls_why of the
 * caller's, which may be NULL, and which is written only then. There is no renegotiation, no
 * compression and no early data.
 */
#ifndef CO_TLS_H
#define CO_TLS_H

#include <co/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Versions, as they are on the wire. */
enum { CO_TLS_1_2 = 0x0303, CO_TLS_1_3 = 0x0304 };

/* Why something failed: a sentence without a full stop, for a log. */
struct co_tls_why {
    char text[256];
};

/* A certificate: PEM files with the chain, its own certificate first, and with the private key. */
struct co_tls_cert {
    const char *chain;
    const char *key; /* not encrypted; NULL: in the file of the chain */
};

/* Whether a server asks for the certificate of its clients. */
enum {
    CO_TLS_CLIENT_NONE = 0,     /* no */
    CO_TLS_CLIENT_OPTIONAL = 1, /* yes; one that comes has to be good */
    CO_TLS_CLIENT_REQUIRED = 2, /* yes, and there is no connection without */
};

/* What a server's context is made of; 0 or NULL stands for the default. */
struct co_tls_server_conf {
    const struct co_tls_cert *certs; /* chosen by the host names in them; the first is for others */
    int cert_count;                  /* at least 1 */
    int client_cert;                 /* CO_TLS_CLIENT_NONE */
    const char *client_ca;           /* PEM file: who may have issued certificates of clients */
    const char *alpn;                /* "h2,http/1.1": what we speak, the best first; none */
    int min_version;                 /* CO_TLS_1_2 */
    int max_version;                 /* CO_TLS_1_3 */
    int64_t handshake_timeout;       /* ns, beside the deadline in force; 10 s */
};

/* What a client's context is made of; 0 or NULL stands for the default. */
struct co_tls_client_conf {
    const char *ca_file;            /* PEM file: whom we trust; those whom the system trusts */
    const struct co_tls_cert *cert; /* our own certificate; none */
    const char *alpn;               /* as a server's */
    int min_version;                /* CO_TLS_1_2 */
    int max_version;                /* CO_TLS_1_3 */
    int64_t handshake_timeout;      /* ns, beside the deadline in force; 10 s */
    int trust_anybody;              /* 1: nothing is verified; for tests of your own */
};

struct co_tls_server;
struct co_tls_client;

/*
 * Makes the context of a server. In a coroutine the files are read on the offload pool.
 * A session may be resumed for two hours, by a ticket. The keys for tickets are the context's own,
 * made at random and never written anywhere: each makes tickets for two hours, and reads them for
 * two more; who comes with a ticket of the key before is resumed and given a new one. The first
 * ticket after a key's time changes it; nothing runs by itself.
 * Returns: 0; -EINVAL for a setting, or a file that is not what it should be; -ENOENT, -EACCES and
 *   others of open(2); -ENOMEM; in a coroutine also -ETIMEDOUT, -ECANCELED. Suspends: in a
 *   coroutine. Threads: any. Owns: the caller gets it, for co_tls_server_free.
 */
CO_API CO_NODISCARD int co_tls_server_new(const struct co_tls_server_conf *conf,
                                          struct co_tls_server **ret_server,
                                          struct co_tls_why *ret_why);

/*
 * Reads everything anew and puts it in place of what was there, for handshakes that begin from now
 * on; connections go on. Keys for tickets stay (and grow older as if nothing had happened), unless
 * one of the two asks for certificates of clients: then no session from before can be resumed. If
 * it fails, all stays as it was.
 * Returns, Suspends, Threads: as co_tls_server_new.
 */
CO_API CO_NODISCARD int co_tls_server_reload(struct co_tls_server *server,
                                             const struct co_tls_server_conf *conf,
                                             struct co_tls_why *ret_why);

/*
 * Frees a context; NULL does nothing. Connections go on.
 * Suspends: never. Threads: any; nobody uses it any more.
 */
CO_API void co_tls_server_free(struct co_tls_server *server);

/*
 * Makes the context of a client, which remembers sessions for 64 hosts.
 * Returns, Suspends, Threads: as co_tls_server_new. Owns: the caller gets it, for
 *   co_tls_client_free.
 */
CO_API CO_NODISCARD int co_tls_client_new(const struct co_tls_client_conf *conf,
                                          struct co_tls_client **ret_client,
                                          struct co_tls_why *ret_why);

/* Frees a context; NULL does nothing. Suspends, Threads: as co_tls_server_free. */
CO_API void co_tls_client_free(struct co_tls_client *client);

/*
 * The server's half of a handshake on an accepted connection.
 * Returns: 0; -EPROTO if the peer speaks no TLS, another one, or has refused us; -EKEYEXPIRED or
 *   -EKEYREJECTED for its certificate; -ECONNRESET if it has gone; -ENOMEM; -ETIMEDOUT also when
 *   handshake_timeout has passed; the errors of co_recv and co_send.
 * Suspends: yes. Threads: coroutines. Owns: if 0 is returned fd is the stream's, else the caller's.
 */
CO_API CO_NODISCARD int co_tls_accept(struct co_tls_server *server, int fd,
                                      struct co_stream *ret_stream, struct co_tls_why *ret_why);

/*
 * The client's half, on a connection to `host`: a name or an IP address, for which the server's
 * certificate has to be good, and under which sessions are remembered.
 * Returns: as co_tls_accept; -EINVAL if host is NULL (unless trust_anybody), or too long to be one.
 * Suspends, Threads, Owns: as co_tls_accept.
 */
CO_API CO_NODISCARD int co_tls_connect(struct co_tls_client *client, int fd, const char *host,
                                       struct co_stream *ret_stream, struct co_tls_why *ret_why);

/* What was agreed on; texts hold as long as the stream is open. */
struct co_tls_info {
    int version;             /* CO_TLS_1_2 or CO_TLS_1_3 */
    int resumed;             /* 1: an earlier session goes on */
    int has_peer_cert;       /* 1: the peer has shown one, and it was verified if we verify */
    const char *cipher;      /* "TLS_AES_128_GCM_SHA256" */
    const char *server_name; /* the name that the client has asked for; NULL: none */
    char alpn[32];           /* "http/1.1"; empty: none */
};

/*
 * What a stream's handshake came to.
 * Returns: 0; -EINVAL if the stream is not TLS. Suspends: never. Threads: who uses the stream.
 */
CO_API int co_tls_describe(const struct co_stream *stream, struct co_tls_info *ret_info);

/*
 * The subject of the peer's certificate, as in "CN=client,O=Example" (RFC 2253), cut to cap - 1
 * bytes and a NUL.
 * Returns: its whole length; -ENODATA if it has shown none; -EINVAL if the stream is not TLS;
 *   -ENOMEM. Suspends: never. Threads: who uses the stream.
 */
CO_API ssize_t co_tls_peer_subject(const struct co_stream *stream, char *buf, size_t cap);

/*
 * The peer's certificate in DER; nothing is written if it is longer than cap.
 * Returns: its length; else as co_tls_peer_subject. Suspends: never. Threads: who uses the stream.
 */
CO_API ssize_t co_tls_peer_der(const struct co_stream *stream, void *buf, size_t cap);

/*
 * Why reading or writing has failed with -EPROTO, -ECONNRESET or the like.
 * Returns: a text that holds as long as the stream is open; "" if there is nothing to tell.
 *   Suspends: never. Threads: whose call has failed.
 */
CO_API const char *co_tls_failure(const struct co_stream *stream);

#ifdef __cplusplus
}
#endif
#endif
