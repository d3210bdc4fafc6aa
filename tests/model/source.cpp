/* SPDX-License-Identifier: MIT */
/*
 * source.cpp - model of a wait source (one direction of a descriptor) with its waiters and
 * starters.
 *
 * The word: state, sticky bits HUP and CLOSING, and the sequence of the park that waits (in the
 * runtime the coroutine's index and the generation too; generations are in slot.c).
 *
 *   NIL      nobody waits, nothing happened.
 *            commit of a park -> WAITER; arming by co_go_when -> STARTER; deliver -> READY
 *   READY    something happened while nobody waited. The running coroutine, before the system call
 *            that it is about to make, never after it -> NIL
 *   WAITER   a parked coroutine. deliver -> READY, hang-up -> NIL|CLOSING, then they claim;
 *            deadline and cancel claim by the word of the coroutine alone; the resumed waiter
 *            itself -> NIL, by CAS on its own sequence
 *   STARTER  a coroutine that was born parked and has never run. The same steps as from WAITER; the
 *   drain
 *            claims by the word alone too, but only what was born parked. The first step of the
 *            started coroutine is the waiter's: -> NIL, by CAS on its own sequence.
 *   A commit fails on CLOSING, on READY (and leaves it), and on HUP unless a call has failed with
 *   EAGAIN since the last wake-up. One that arms a starter: new sequence, publish, arm the timer,
 *   look at the drain, and SAVED as the last step, so that who claims and finishes before leaves
 *   the starting to the armer.
 *
 * The kernel is a count of bytes, an end-of-stream flag and an edge that two pollers (the owner and
 * a rescuer) compete for: one gets it and fetches what there is, later it delivers; anything may
 * happen between. The coroutine reads until a short read, then waits before it asks the kernel
 * again (fact 11 of the architecture page).
 *
 * Checked: every byte and the end of stream are noticed, or the hang-up, deadline or drain that
 * came instead; nobody runs while the parker or armer still has its hands on the record (data
 * races); a starter is started exactly once; the drain never ends an ordinary park; one claim per
 * park.
 * Not covered: two directions, PRI (as HUP), the operation bit, the timer heap (timer.cpp).
 */
#include "model.hpp"

using namespace model;

enum { CLAIMED = 1, SAVED = 2, FIRED = 4, ALL = 7, ONE = 8 };

enum { NIL, READY, WAITER, STARTER, STATE = 3, HUP = 4, CLOSING = 8, STICKY = 12, SEQ = 16 };

enum { NONE, EVENT, TIMED_OUT, HUNG, DRAINED, REFUSED };

enum mutants {
    DELIVER_NIL = 1,
    HUP_SEPARATE,
    HUP_IGNORED,
    READY_AFTER,
    EAT_AFTER_WAKE,
    STALE_WAITER,
    CLEAR_ANY,
    HANG_NO_CLAIM,
    CLOSING_IGNORED,
    CLAIM_ANY,
    /* of the starter */
    ARM_SAVED_FIRST,
    ARM_NO_LOOK,
    ARM_RELEASE,
    ARM_TIMER_LAST,
    KEEP_STARTER,
    DRAIN_ANY,
    DRAIN_KIND_FIRST,
};

enum scenarios {
    DATA,
    ONE_EVENT,
    HANGUP,
    LAST_BYTES,
    EXPIRY,
    START_DATA, /* From here on somebody else begins with co_go_when. */
    START_DEADLINE,
    START_HANGUP,
    START_DRAIN,
};

enum { END = 256 }; /* of the stream, in the kernel's word */

struct source_model : rl::test_suite<source_model, 4> {
    /* The coroutine. */
    atomic<unsigned> word;
    atomic<unsigned> deadline; /* in force for the next park */
    atomic<unsigned> born;     /* the park is that of a coroutine that was born parked */
    plain<int> frame; /* what the parker or armer touches to the last, and the resumed first */
    plain<int> reason, entry;
    atomic<unsigned> slot;
    atomic<unsigned> expired, draining;
    /* The kernel. */
    atomic<unsigned> kernel, edge, quit;
    gate polled;
    /* The script of the coroutine. */
    bool starter, waiting, wait_first, tried;
    bool eof, hung, late, drained, done;
    int got, armed, started;
    int wins[64];

    void before()
    {
        word.store(ALL, relaxed);
        deadline.store(scenario_now != HANGUP && scenario_now != LAST_BYTES, relaxed);
        born.store(0, relaxed);
        frame.set(0);
        reason.set(NONE);
        entry.set(0);
        slot.store(NIL, relaxed);
        expired.store(0, relaxed);
        draining.store(0, relaxed);
        kernel.store(0, relaxed);
        edge.store(0, relaxed);
        quit.store(0, relaxed);
        polled.open();
        starter = scenario_now >= START_DATA;
        waiting = wait_first = tried = false;
        eof = hung = late = drained = done = false;
        got = armed = started = 0;
        memset(wins, 0, sizeof(wins));
    }

    /* --- park word, as in park.cpp --- */

    bool claim(unsigned seq, int why)
    {
        unsigned w = word.load(acquire);

        for (;;) {
            unsigned old = w;

            if ((!mutated(CLAIM_ANY) && w / ONE != seq) || (w & CLAIMED))
                return false;
            if (word.cas(w, w | CLAIMED, acq_rel)) {
                MODEL_ASSERT(old / ONE < 20); /* Else it spins. */
                MODEL_ASSERT(++wins[old / ONE] == 1);
                reason.set(why);
                return true;
            }
        }
    }

    void claim_and_finish(unsigned seq, int why)
    {
        if (claim(seq, why) && (word.fetch_or(FIRED, acq_rel) & SAVED))
            run();
    }

    bool save()
    {
        return word.fetch_or(SAVED, acq_rel) & FIRED;
    }

    /* --- the source --- */

    /* A poller has fetched `events` and tells the source. */
    void deliver(unsigned events)
    {
        unsigned hup = events & END ? HUP : 0;
        unsigned s = slot.load(seq_cst);

        for (;;) {
            unsigned state = s & STATE;
            unsigned next = (s & STICKY) | (mutated(DELIVER_NIL) && state == WAITER ? NIL : READY);

            if (!mutated(HUP_SEPARATE))
                next |= hup;
            if (!slot.cas(s, next, seq_cst))
                continue;
            if (mutated(HUP_SEPARATE) && hup)
                slot.fetch_or(HUP, seq_cst);
            if (state == WAITER || state == STARTER)
                claim_and_finish(s / SEQ, EVENT);
            return;
        }
    }

    void hang_up()
    {
        unsigned s = slot.load(seq_cst);
        bool occupied;

        do
            occupied = (s & STATE) == WAITER || (s & STATE) == STARTER;
        while (!slot.cas(s, (occupied ? (s & STICKY) | NIL : s) | CLOSING, seq_cst));
        if (occupied && !mutated(HANG_NO_CLAIM))
            claim_and_finish(s / SEQ, HUNG);
    }

    void expire()
    {
        unsigned w;

        expired.store(1, seq_cst);
        w = word.load(seq_cst);
        if ((w & CLAIMED) || !deadline.load(relaxed))
            return;
        claim_and_finish(w / ONE, TIMED_OUT);
        if (mutated(CLEAR_ANY)) {
            unsigned s = slot.load(seq_cst);

            while ((s & STATE) == WAITER && !slot.cas(s, s & STICKY, seq_cst)) {
            }
        }
    }

    /* Starts, with a reason, all that were born parked and still wait. */
    void drain()
    {
        bool kind = true;
        unsigned w;

        draining.store(1, seq_cst);
        if (mutated(DRAIN_KIND_FIRST))
            kind = born.load(seq_cst);
        w = word.load(seq_cst);
        if (w & CLAIMED)
            return;
        if (mutated(DRAIN_KIND_FIRST) ? !kind : !mutated(DRAIN_ANY) && !born.load(relaxed))
            return;
        claim_and_finish(w / ONE, DRAINED);
    }

    /* Publishes a waiter or starter. Returns: NONE, or why it need not wait. */
    int publish(unsigned seq, unsigned state)
    {
        unsigned s = slot.load(seq_cst);

        for (;;) {
            MODEL_ASSERT((s & STATE) == NIL || (s & STATE) == READY);
            if ((s & CLOSING) && !mutated(CLOSING_IGNORED))
                return HUNG;
            if ((s & STATE) == READY)
                return REFUSED;
            if ((s & HUP) && !tried && !mutated(HUP_IGNORED))
                return REFUSED;
            if (slot.cas(s, (s & STICKY) | state | seq * SEQ, seq_cst))
                return NONE;
        }
    }

    void retract(unsigned seq, unsigned state)
    {
        unsigned s = slot.load(seq_cst);

        while ((s & STATE) == state && s / SEQ == seq && !slot.cas(s, s & STICKY, seq_cst)) {
        }
    }

    void consume_ready()
    {
        unsigned s = slot.load(seq_cst);

        while ((s & STATE) == READY && !slot.cas(s, s & STICKY, seq_cst)) {
        }
    }

    /* --- the coroutine --- */

    /* Returns: bytes, 0 at the end of stream, -1 if there is nothing yet. */
    int receive()
    {
        unsigned k;

        if (!mutated(READY_AFTER) && !mutated(EAT_AFTER_WAKE))
            consume_ready();
        k = kernel.load(seq_cst);
        while ((k & 255) && !kernel.cas(k, k & END, seq_cst)) {
        }
        if (mutated(READY_AFTER))
            consume_ready();
        if (k & 255)
            return static_cast<int>(k & 255);
        return k ? 0 : -1;
    }

    /* Parks as a waiter. Returns: whether the coroutine is ready again at once. */
    bool park()
    {
        unsigned seq = word.load(relaxed) / ONE + 1;
        int why;

        born.store(0, relaxed);
        waiting = true;
        word.store(seq * ONE, seq_cst);
        frame.set(1); /* The switch. */
        why = publish(seq, WAITER);
        if (why == NONE && deadline.load(relaxed) && expired.load(seq_cst))
            why = TIMED_OUT;
        if (why != NONE && claim(seq, why))
            word.fetch_or(FIRED, acq_rel);
        return save();
    }

    /* co_go_when: arms a starter on this very record. Returns: whether it is ready at once. */
    bool arm()
    {
        unsigned seq = word.load(relaxed) / ONE + 1;
        int why;

        born.store(1, relaxed);
        starter = true;
        entry.set(1);
        word.store(seq * ONE, mutated(ARM_RELEASE) ? release : seq_cst);
        if (mutated(ARM_SAVED_FIRST))
            word.fetch_or(SAVED, acq_rel);
        why = publish(seq, STARTER);
        if (why == HUNG) { /* The caller gets -ECANCELED; nothing was started. */
            hung = done = true;
            word.store(seq * ONE | ALL, seq_cst);
            return false;
        }
        armed++;
        if (!mutated(ARM_TIMER_LAST))
            frame.set(1); /* The timer's node goes into the heap. */
        if (why == REFUSED)
            why = EVENT;
        else if (deadline.load(relaxed) && expired.load(seq_cst))
            why = TIMED_OUT;
        else if (!mutated(ARM_NO_LOOK) && draining.load(seq_cst))
            why = DRAINED;
        if (why != NONE && claim(seq, why))
            word.fetch_or(FIRED, acq_rel);
        if (mutated(ARM_SAVED_FIRST))
            return why != NONE;
        if (save())
            return true;
        if (mutated(ARM_TIMER_LAST))
            frame.set(1);
        return false;
    }

    /* After a park or as the first step of a life. */
    void resume()
    {
        unsigned seq = word.load(relaxed) / ONE;
        int why;

        frame.set(2);
        why = reason.get();
        reason.set(NONE);
        MODEL_ASSERT(why != NONE);
        if (starter) {
            started++;
            MODEL_ASSERT(started == armed);
            MODEL_ASSERT(entry.get() == 1);
            entry.set(0);
            if (!mutated(KEEP_STARTER))
                retract(seq, STARTER);
        } else {
            MODEL_ASSERT(why != DRAINED);
            if (!mutated(STALE_WAITER))
                retract(seq, WAITER);
        }
        if (mutated(EAT_AFTER_WAKE) && why == EVENT)
            consume_ready();
        wait_first = tried = false;
        if (why == TIMED_OUT) {
            MODEL_ASSERT(deadline.load(relaxed));
            deadline.store(0, relaxed);
            if (scenario_now == DATA || scenario_now == ONE_EVENT)
                wait_first = true; /* It had to wait before, and no event came. */
            else
                late = done = true;
        }
        if (why == HUNG)
            hung = done = true;
        if (why == DRAINED)
            drained = done = true;
        starter = waiting = false;
    }

    /* Runs it until it parks or ends. */
    void run()
    {
        for (;;) {
            if (waiting || (starter && armed > 0))
                resume();
            if (done)
                return;
            if (starter) { /* It begins with somebody's co_go_when. */
                if (!arm())
                    return;
                continue;
            }
            if (!wait_first) {
                int n;

                if (slot.load(seq_cst) & CLOSING) {
                    hung = done = true;
                    return;
                }
                n = receive();
                if (n == 0) {
                    eof = done = true;
                    return;
                }
                if (n < 0) {
                    tried = true;
                } else {
                    got += n;
                    wait_first = true;
                    tried = false;
                    if (scenario_now == ONE_EVENT)
                        done = true;
                    continue;
                }
            }
            if (scenario_now >= START_DATA && got == 2) {
                starter = true; /* Served: idle until the next request. */
                if (!arm())
                    return;
                continue;
            }
            if (!park())
                return;
        }
    }

    /* --- the others --- */

    void network(unsigned bytes, bool end)
    {
        kernel.fetch_add(bytes + (end ? END : 0), seq_cst);
        if (edge.exchange(1, seq_cst) == 0)
            polled.post();
    }

    void close_network()
    {
        quit.store(1, seq_cst);
        polled.post();
        polled.post();
    }

    void poll()
    {
        for (;;) {
            polled.wait();
            if (edge.exchange(0, seq_cst)) {
                unsigned k = kernel.load(seq_cst);

                if (k)
                    deliver(k);
            } else if (quit.load(seq_cst)) {
                return;
            }
        }
    }

    void disturb()
    {
        switch (scenario_now) {
        case DATA:
        case ONE_EVENT:
        case EXPIRY:
        case START_DEADLINE:
            expire();
            break;
        case HANGUP:
        case START_HANGUP:
            hang_up();
            break;
        case START_DRAIN:
            drain();
            break;
        default:
            break;
        }
    }

    void thread(unsigned t)
    {
        if (t == 0)
            run();
        if (t <= 1) {
            poll();
        } else if (t == 2) {
            if (scenario_now == LAST_BYTES || scenario_now == ONE_EVENT) {
                network(2, scenario_now == LAST_BYTES);
            } else if (scenario_now == EXPIRY) {
                network(1, false);
            } else {
                network(1, false);
                network(1, scenario_now == DATA || scenario_now == HANGUP);
                if (scenario_now == START_DATA)
                    network(0, true);
            }
            close_network();
        } else {
            disturb();
        }
    }

    void after()
    {
        polled.close();
        MODEL_ASSERT(done);
        MODEL_ASSERT((slot.load(relaxed) & STATE) <= READY); /* It names nobody who has ended. */
        MODEL_ASSERT(started == armed);
        MODEL_ASSERT(!eof || got == 2);
        MODEL_ASSERT(!hung || scenario_now == HANGUP || scenario_now == START_HANGUP);
        MODEL_ASSERT(!drained || scenario_now == START_DRAIN);
    }
};

int main(int argc, char **argv)
{
    driver<source_model> d("source", argc, argv);
    static const run protocol[] = {
        {0, DATA, "two bytes, end of stream, a deadline"},
        {0, ONE_EVENT, "two bytes in one event, a deadline"},
        {0, HANGUP, "two bytes, end of stream, hang-up"},
        {0, LAST_BYTES, "end of stream with the last bytes"},
        {0, EXPIRY, "one byte, then the deadline"},
        {0, START_DATA, "starter, waiter, starter: data"},
        {0, START_DEADLINE, "starter, waiter, starter: deadline"},
        {0, START_HANGUP, "starter, waiter, starter: hang-up"},
        {0, START_DRAIN, "starter, waiter, starter: drain"},
    };
    static const run broken[] = {
        {DELIVER_NIL, ONE_EVENT, "DELIVER_NIL"},
        {HUP_SEPARATE, LAST_BYTES, "HUP_SEPARATE"},
        {HUP_IGNORED, LAST_BYTES, "HUP_IGNORED"},
        {READY_AFTER, ONE_EVENT, "READY_AFTER"},
        {EAT_AFTER_WAKE, DATA, "EAT_AFTER_WAKE"},
        {STALE_WAITER, DATA, "STALE_WAITER"},
        {CLEAR_ANY, DATA, "CLEAR_ANY"},
        {HANG_NO_CLAIM, START_HANGUP, "HANG_NO_CLAIM"},
        {CLOSING_IGNORED, START_HANGUP, "CLOSING_IGNORED"},
        {CLAIM_ANY, START_DRAIN, "CLAIM_ANY"},
        {ARM_SAVED_FIRST, START_DATA, "ARM_SAVED_FIRST"},
        {ARM_NO_LOOK, START_DRAIN, "ARM_NO_LOOK"},
        {ARM_RELEASE, START_DRAIN, "ARM_RELEASE"},
        {ARM_TIMER_LAST, START_DATA, "ARM_TIMER_LAST"},
        {KEEP_STARTER, START_DRAIN, "KEEP_STARTER"},
        {DRAIN_ANY, START_DRAIN, "DRAIN_ANY"},
        {DRAIN_KIND_FIRST, START_DRAIN, "DRAIN_KIND_FIRST"},
    };

    for (size_t i = 0; i < sizeof(protocol) / sizeof(*protocol); i++)
        d.add(protocol[i], searches(0, 100000)(1, 500000), searches(0, 3000000)(2, 20000000));
    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++)
        d.add(broken[i], searches(0, 200000)(2, 200000), searches(0, 5000000)(2, 5000000));
    return d.finish();
}
