/* SPDX-License-Identifier: MIT */
/*
 * session.c - sessions that a client may go on with, by host.
 *
 * A ticket of TLS 1.3 is used once, so that nobody can tell by it that two connections are one
 * client's (RFC 8446, C.4); servers send several. A session of TLS 1.2 may be used again and again:
 * it stays, and each connection gets a copy. When all places are taken, the host that was used
 * longest ago makes room.
 */
#include "tls.h"

#include <stdlib.h>
#include <string.h>

/* With the latch. Returns: the host's place; NULL. */
static struct co__tls_host *find(struct co__tls_sessions *sessions, const char *name)
{
    for (int i = 0; i < CO__TLS_HOSTS; i++) {
        struct co__tls_host *host = &sessions->hosts[i];

        if (host->name && strcmp(host->name, name) == 0)
            return host;
    }
    return NULL;
}

/* The place to give to a new host: a free one, or that of the host used longest ago. */
static struct co__tls_host *oldest(struct co__tls_sessions *sessions)
{
    struct co__tls_host *found = &sessions->hosts[0];

    for (int i = 0; i < CO__TLS_HOSTS && found->name; i++) {
        struct co__tls_host *host = &sessions->hosts[i];

        if (!host->name || host->used < found->used)
            found = host;
    }
    return found;
}

static void forget(struct co__tls_host *host)
{
    for (int i = 0; i < host->count; i++)
        SSL_SESSION_free(host->sessions[i]);
    free(host->name);
}

void co__tls_sessions_put(struct co__tls_sessions *sessions, const char *name, SSL_SESSION *session)
{
    struct co__tls_host gone = {0}, *host;
    SSL_SESSION *extra = NULL;
    char *copy = strdup(name);

    co_latch_take(&sessions->latch);
    host = find(sessions, name);
    if (!host && copy) {
        host = oldest(sessions);
        gone = *host;
        *host = (struct co__tls_host){.name = copy};
        copy = NULL;
    }
    if (!host) {
        extra = session;
    } else {
        if (host->count == CO__TLS_SESSIONS) {
            extra = host->sessions[0];
            host->count--;
            memmove(host->sessions, host->sessions + 1,
                    (size_t)host->count * sizeof(host->sessions[0]));
        }
        host->sessions[host->count++] = session;
        host->used = ++sessions->clock;
    }
    co_latch_give(&sessions->latch);
    forget(&gone);
    SSL_SESSION_free(extra);
    free(copy);
}

SSL_SESSION *co__tls_sessions_take(struct co__tls_sessions *sessions, const char *name)
{
    SSL_SESSION *session = NULL, *copy = NULL;
    struct co__tls_host *host;

    co_latch_take(&sessions->latch);
    host = find(sessions, name);
    if (host && host->count > 0) {
        session = host->sessions[host->count - 1];
        host->used = ++sessions->clock;
        if (SSL_SESSION_get_protocol_version(session) == CO_TLS_1_3)
            host->count--;
        else
            (void)SSL_SESSION_up_ref(session);
    }
    co_latch_give(&sessions->latch);
    if (!session || SSL_SESSION_get_protocol_version(session) == CO_TLS_1_3)
        return session;
    copy = SSL_SESSION_dup(session);
    SSL_SESSION_free(session);
    return copy;
}

void co__tls_sessions_done(struct co__tls_sessions *sessions)
{
    for (int i = 0; i < CO__TLS_HOSTS; i++)
        forget(&sessions->hosts[i]);
}
