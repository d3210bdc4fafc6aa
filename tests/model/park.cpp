/* SPDX-License-Identifier: MIT */
/*
 * park.cpp - model of park, claim and finish (runtime/park.c).
 *
 * The word of a coroutine: a sequence number, never reset, and three bits.
 *
 *   running       CLAIMED|SAVED|FIRED of the park before; leaves it: the coroutine itself, by
 *                 storing the next sequence with no bits (seq_cst)          -> parking
 *   parking       no bits; the coroutine has left its stack, commit runs.
 *                 claim by CAS, one winner                                             -> CLAIMED
 *                 the parker's last step sets SAVED                 -> SAVED (parked)
 *   parked        SAVED; a winner's claim                                              ->
 *                 SAVED|CLAIMED
 *   claimed       the winner may write a value, then finish sets FIRED.
 *   Of SAVED and FIRED, who finds the other's bit set makes the coroutine ready and touches the
 *   word no more.
 *
 * One coroutine receives from a channel (a lock, a waiter's node, a buffer), waits for one I/O
 * event, has a deadline and can be cancelled; it parks several times in a row. Whoever makes it
 * ready runs it in the same model thread: all order between parker and resumer must come from the
 * word, none from a run queue.
 *
 * Checked: at most one claim per park is won; nobody resumes a coroutine that is still on its stack
 * (a data race on `frame`); each value and event arrives once; a reason is only given to a park for
 * which it is in force; no wake-up, time-out or cancel is lost (the coroutine ends); a channel
 * never reads a node whose owner is gone.
 * Not covered: the run queue, the timer heap (timer.cpp), the wait source (source.cpp), wrap of
 * sequences.
 */
#include "model.hpp"

using namespace model;

enum { CLAIMED = 1, SAVED = 2, FIRED = 4, ALL = 7, ONE = 8 };

enum { NONE, VALUE, EVENT, TIMED_OUT, CANCELED, REFUSED };

enum { SRC_NIL = 0, SRC_READY = 1, SRC_TICKET = 2 };

enum mutants {
    PARK_RELEASE = 1,
    FLAG_RELEASE,
    LOOK_ACQUIRE,
    NO_LOOK,
    STALE_REASON,
    REASON_BEFORE_WORD,
    NO_SEQUENCE,
    NO_RETRY,
    FINISH_RELAXED,
    FINISH_SPLIT,
    SAVE_RELAXED,
    SAVE_SPLIT,
    SAVE_BEFORE_COMMIT,
    READY_AT_CLAIM,
    VALUE_AFTER_FINISH,
    NO_RECHECK,
    NO_UNLINK,
    REFUSE_UNCLAIMED,
};

enum scenarios { HANDOVER, MASKED, EXPIRY, VALUES, EVENTS };

struct park_model : rl::test_suite<park_model, 4> {
    atomic<unsigned> word;
    atomic<unsigned> cancel, expired; /* reasons to stop: flags set by somebody else */
    atomic<unsigned> deadline, mask; /* in force for the next park; written by the coroutine only */
    atomic<unsigned> source;
    plain<int> frame; /* the registers on the coroutine's stack */
    plain<int> reason, value;
    lock channel;
    plain<unsigned> node;  /* 0, or the sequence of the park that waits in the channel */
    plain<int> node_frame; /* the memory the node lives in */
    plain<int> buffered;
    int received, events, parks;
    bool done;
    int wins[64];

    void before()
    {
        word.store(ALL, relaxed);
        cancel.store(0, relaxed);
        expired.store(0, relaxed);
        deadline.store(1, relaxed);
        mask.store(scenario_now == MASKED, relaxed);
        source.store(SRC_NIL, relaxed);
        frame.set(0);
        reason.set(NONE);
        value.set(0);
        node.set(0);
        node_frame.set(0);
        buffered.set(0);
        received = events = parks = 0;
        done = false;
        memset(wins, 0, sizeof(wins));
    }

    int sends() const
    {
        return scenario_now == EVENTS ? 1 : 2;
    }

    /* --- the protocol --- */

    bool claim(unsigned seq, int why)
    {
        unsigned w = word.load(acquire);

        for (;;) {
            unsigned old = w;

            if ((!mutated(NO_SEQUENCE) && w / ONE != seq) || (w & CLAIMED))
                return false;
            if (word.cas(w, w | CLAIMED, acq_rel)) {
                MODEL_ASSERT(++wins[old / ONE] == 1);
                reason.set(why);
                return true;
            }
            if (mutated(NO_RETRY))
                return false;
        }
    }

    /* Returns: whether the caller has to make the coroutine ready. */
    bool finish()
    {
        if (mutated(FINISH_SPLIT)) {
            bool saved = word.load(acquire) & SAVED;

            word.fetch_or(FIRED, acq_rel);
            return saved;
        }
        if (mutated(READY_AT_CLAIM)) {
            word.fetch_or(FIRED, acq_rel);
            return true;
        }
        return word.fetch_or(FIRED, order_of(acq_rel, FINISH_RELAXED, relaxed)) & SAVED;
    }

    bool save()
    {
        if (mutated(SAVE_SPLIT)) {
            bool fired = word.load(acquire) & FIRED;

            word.fetch_or(SAVED, acq_rel);
            return fired;
        }
        return (word.fetch_or(SAVED, order_of(acq_rel, SAVE_RELAXED, relaxed)) & FIRED) &&
               !mutated(READY_AT_CLAIM);
    }

    bool in_force(int why)
    {
        return why == CANCELED ? !mask.load(relaxed) : deadline.load(relaxed) != 0;
    }

    /* Somebody wants to stop the coroutine: flag, word, is it in force, claim. */
    void stop(atomic<unsigned> &flag, int why)
    {
        bool early = true;
        unsigned w;

        flag.store(1, order_of(seq_cst, FLAG_RELEASE, release));
        if (mutated(REASON_BEFORE_WORD))
            early = in_force(why);
        w = word.load(seq_cst);
        if (w & CLAIMED)
            return;
        if (mutated(REASON_BEFORE_WORD) ? !early : !mutated(STALE_REASON) && !in_force(why))
            return;
        if (claim(w / ONE, why) && finish())
            run();
    }

    /* Publishes the waiter unless the condition holds, then looks at the reasons to stop. */
    int commit(unsigned seq)
    {
        {
            locked hold(channel);

            if (buffered.get() > 0 && !mutated(NO_RECHECK))
                return REFUSED;
            node.set(seq);
        }
        if (scenario_now == EVENTS) {
            unsigned s = SRC_NIL;

            if (!source.cas(s, SRC_TICKET | seq * 4, seq_cst))
                return REFUSED;
        }
        if (mutated(NO_LOOK))
            return NONE;
        if (in_force(CANCELED) && cancel.load(order_of(seq_cst, LOOK_ACQUIRE, acquire)))
            return CANCELED;
        if (in_force(TIMED_OUT) && expired.load(seq_cst))
            return TIMED_OUT;
        return NONE;
    }

    /* Returns: whether the coroutine is ready again at once. */
    bool park()
    {
        unsigned seq = word.load(relaxed) / ONE + 1;
        int why;

        MODEL_ASSERT(++parks < 12);
        word.store(seq * ONE, order_of(seq_cst, PARK_RELEASE, release));
        frame.set(1); /* The switch: from here on the coroutine is off its stack. */
        if (mutated(SAVE_BEFORE_COMMIT) && save())
            return true;
        why = commit(seq);
        if (mutated(SAVE_BEFORE_COMMIT))
            return why != NONE && claim(seq, why) && finish();
        if (mutated(REFUSE_UNCLAIMED)) {
            if (why != NONE) {
                reason.set(why);
                word.fetch_or(CLAIMED | FIRED, acq_rel);
            }
        } else if (why != NONE && claim(seq, why)) {
            finish();
        }
        return save();
    }

    /* --- the coroutine --- */

    /* After a park: unlink, then see why it ended. */
    void resume()
    {
        unsigned seq = word.load(relaxed) / ONE;
        unsigned mine = SRC_TICKET | seq * 4;
        int why;

        frame.set(2);
        if (!mutated(NO_UNLINK)) {
            locked hold(channel);

            node.set(0);
        }
        node_frame.set(1); /* The call that held the node returns. */
        if (scenario_now == EVENTS)
            source.cas(mine, SRC_NIL, seq_cst);
        why = reason.get();
        reason.set(NONE);
        MODEL_ASSERT(why != NONE);
        if (why == VALUE) {
            received += value.get();
            value.set(0);
        }
        if (why == TIMED_OUT) {
            MODEL_ASSERT(deadline.load(relaxed));
            deadline.store(0, relaxed);
            done = scenario_now == EXPIRY;
        }
        if (why == CANCELED) {
            MODEL_ASSERT(!mask.load(relaxed));
            done = true;
        }
        mask.store(0, relaxed);
    }

    void take_what_is_there()
    {
        {
            locked hold(channel);

            if (buffered.get() > 0) {
                buffered.set(buffered.get() - 1);
                received++;
            }
        }
        if (scenario_now == EVENTS) {
            unsigned s = SRC_READY;

            if (source.cas(s, SRC_NIL, seq_cst))
                events++;
        }
        /* In the others only the last reason to stop ends it, so that a lost one shows. */
        if ((scenario_now == EVENTS && received == sends() && events == 1) ||
            (scenario_now == VALUES && received == sends()))
            done = true;
    }

    /* Runs the coroutine until it parks or ends. */
    void run()
    {
        for (;;) {
            if (parks > 0)
                resume();
            if (!done)
                take_what_is_there();
            if (done || !park())
                return;
        }
    }

    /* --- the others --- */

    void send()
    {
        bool won = false;

        {
            locked hold(channel);
            unsigned seq = node.get();

            if (seq) {
                node_frame.get();
                node.set(0);
                won = claim(seq, VALUE);
                if (won && !mutated(VALUE_AFTER_FINISH))
                    value.set(1);
            }
            if (!won)
                buffered.set(buffered.get() + 1);
        }
        if (won) {
            bool ready = finish();

            if (mutated(VALUE_AFTER_FINISH))
                value.set(1);
            if (ready)
                run();
        }
    }

    void deliver()
    {
        unsigned s = source.exchange(SRC_READY, seq_cst);

        if ((s & 3) == SRC_TICKET && claim(s / 4, EVENT) && finish())
            run();
    }

    void thread(unsigned t)
    {
        if (t == 0) {
            run();
        } else if (t == 1) {
            for (int i = 0; i < sends(); i++)
                send();
        } else if (t == 2) {
            if (scenario_now == MASKED) {
                stop(cancel, CANCELED);
                stop(expired, TIMED_OUT);
            } else if (scenario_now != VALUES) {
                stop(expired, TIMED_OUT);
                if (scenario_now != EXPIRY)
                    stop(cancel, CANCELED);
            }
        } else if (scenario_now == EVENTS) {
            deliver();
        }
    }

    void after()
    {
        MODEL_ASSERT(done);
        MODEL_ASSERT(received + buffered.get() == sends());
    }
};

int main(int argc, char **argv)
{
    driver<park_model> d("park", argc, argv);
    static const run protocol[] = {
        {0, HANDOVER, "two values, deadline, cancel"}, {0, MASKED, "cancel while masked"},
        {0, EXPIRY, "two values, deadline"},           {0, VALUES, "two values"},
        {0, EVENTS, "value, event, deadline, cancel"},
    };
    static const run broken[] = {
        {PARK_RELEASE, HANDOVER, "PARK_RELEASE"},
        {FLAG_RELEASE, HANDOVER, "FLAG_RELEASE"},
        {LOOK_ACQUIRE, HANDOVER, "LOOK_ACQUIRE"},
        {NO_LOOK, HANDOVER, "NO_LOOK"},
        {STALE_REASON, HANDOVER, "STALE_REASON"},
        {REASON_BEFORE_WORD, HANDOVER, "REASON_BEFORE_WORD"},
        {NO_SEQUENCE, EVENTS, "NO_SEQUENCE"},
        {NO_RETRY, HANDOVER, "NO_RETRY"},
        {FINISH_RELAXED, HANDOVER, "FINISH_RELAXED"},
        {FINISH_SPLIT, HANDOVER, "FINISH_SPLIT"},
        {SAVE_RELAXED, HANDOVER, "SAVE_RELAXED"},
        {SAVE_SPLIT, HANDOVER, "SAVE_SPLIT"},
        {SAVE_BEFORE_COMMIT, HANDOVER, "SAVE_BEFORE_COMMIT"},
        {READY_AT_CLAIM, HANDOVER, "READY_AT_CLAIM"},
        {VALUE_AFTER_FINISH, HANDOVER, "VALUE_AFTER_FINISH"},
        {NO_RECHECK, VALUES, "NO_RECHECK"},
        {NO_UNLINK, HANDOVER, "NO_UNLINK"},
        {REFUSE_UNCLAIMED, HANDOVER, "REFUSE_UNCLAIMED"},
    };

    for (size_t i = 0; i < sizeof(protocol) / sizeof(*protocol); i++)
        d.add(protocol[i], searches(0, 100000)(1, 2000000),
              searches(0, 3000000)(2, 20000000)(3, 20000000));
    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++)
        d.add(broken[i], searches(0, 100000)(2, 200000), searches(0, 2000000)(3, 5000000));
    return d.finish();
}
