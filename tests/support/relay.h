/* SPDX-License-Identifier: MIT */
/*
 * tests/support/relay.h - a network that misbehaves, between a client and a server on loopback.
 *
 * A relay listens on a port of its own and passes each connection on to another port. It runs in a
 * plain thread with poll(2), not in coroutines, so that what is wrong with Corvid is not wrong with
 * the relay too. How it treats bytes can be changed at any time; it holds for bytes that it reads
 * from then on, in both directions. Datagrams have a relay of their own kind.
 */
#ifndef TESTS_SUPPORT_RELAY_H
#define TESTS_SUPPORT_RELAY_H

#include <stdbool.h>
#include <stdint.h>

struct relay;

enum relay_fault {
    RELAY_FAITHFUL, /* all bytes at once */
    RELAY_FROZEN,   /* nothing is read nor passed on */
    RELAY_TRICKLE,  /* one byte each `value` microseconds */
    RELAY_RATE,     /* `value` bytes a second each way, and a tenth of that at once */
    RELAY_DELAY,    /* what comes is passed on `value` microseconds later */
    RELAY_RESET,    /* after `value` more bytes from the server, both sides get a reset */
    RELAY_HALF,     /* after `value` more bytes from the server, the client sees its end */
    /* Of datagrams to the server: */
    RELAY_DROP,  /* each `value`-th is lost */
    RELAY_TWICE, /* each is passed on twice */
    RELAY_SWAP,  /* each two in the other order */
};

/* Starts a relay to a port of loopback. Returns: NULL if it cannot. */
struct relay *relay_start(int port, bool datagrams);

/* The port it listens on. */
int relay_port(const struct relay *relay);

/* Treats what comes in this way from now on. */
void relay_set(struct relay *relay, enum relay_fault fault, int64_t value);

/* How many bytes (datagrams: datagrams) it has passed on to the client. */
uint64_t relay_passed(struct relay *relay);

/* Closes all connections, ends the thread. */
void relay_stop(struct relay *relay);

#endif
