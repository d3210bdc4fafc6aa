/* SPDX-License-Identifier: MIT */
/*
 * sleep.pml - model of sleep-and-wake (runtime/idle.c, the search and nap of runtime/worker.c, the
 * watchdog).
 *
 * The counts of sleepers and searchers and the bits (who sleeps) change together, under one lock:
 * an atomic step here. The counts are read without it: a step of its own. A worker is
 *
 *   working    -> searching  if fewer than half of the workers search
 *   searching  -> working    when it found something; the last one looks at every queue and wakes
 *              the next sleeper if there is more
 *   any        -> asleep     giving up the search in the same step; then it looks at every queue
 *              again
 *   asleep     -> searching  by a notifier, who took its bit, counted it and then rings its bell;
 *              or by itself, if the second look found work
 *   asleep     -> working    by itself, after an event of its own epoll
 *
 * NP producers each publish a short piece of work and look at the counts; the first also publishes
 * a long one, which computes until all the short ones are done, so that they have to run elsewhere:
 * a wake-up that is lost shows as a system that stands still with work undone. With DOG, one more
 * short piece arrives as an event of worker 0's own epoll, and the watchdog marks a worker that
 * computes as stuck. Who goes to sleep then becomes its keeper, if it has none, and sleeps on its
 * epoll too (runtime/vigil.c); each tick the watchdog wakes somebody for a stuck worker without a
 * keeper, and for nothing else. The watchdog dozes when all workers sleep: it says so first, then
 * looks at the counts, then sleeps on its word.
 *
 * Checked: when nothing moves any more, all work is done, nobody is counted as a searcher, all
 * workers sleep and so does the watchdog; the counts agree with the bits and are never negative.
 * Not covered: memory orders (all accesses are seq_cst; idle.cpp runs idle.c itself under C11),
 * time.
 *
 * Compile-time parameters: N workers (2 or 3), NP producers, DOG, LATE (the mark stays after the
 * long piece, until the watchdog looks again: so a worker that is marked may sleep, and who serves
 * it finds its wake-up in its epoll), and one of the mutants below.
 */
#ifndef N
#define N 2
#endif
#ifndef NP
#define NP 2
#endif
#ifdef DOG
#define SHORTS (NP + 1)
#else
#define SHORTS NP
#endif

#define AWAKE 0
#define ASLEEP 1
#define RUNG 2

short searchers = 0;
short sleepers = 0;
bool asleep[N];   /* the bits */
byte bell[N];     /* AWAKE, ASLEEP or RUNG: runtime/bell.c */
bool eventfd[N];  /* an edge: gone when somebody has taken it out of the epoll */
byte work = 0;    /* short pieces in a queue that all workers look at */
byte hogs = 0;    /* long ones, in another */
bool io[N];       /* an event waits in this worker's epoll */
bool hogged[N];   /* runs the long piece */
bool stuck[N];    /* the watchdog's mark */
byte keeper = 0;  /* of worker 0: 1 + who sleeps on its epoll too */
byte done = 0, hogs_done = 0;
bool dozing = 0; /* the watchdog sleeps, or is about to */
bool dog_sleeps = 0;

/* co__idle_tell: who takes the sleepers from all to one less wakes the watchdog, if it dozes. */
inline wake_dog(before)
{
#ifdef DOG_NOT_WOKEN
    skip
#else
    if
    :: before == N && dozing -> dozing = 0
    :: else
    fi
#endif
}

inline take_a_bit()
{
    id = N;
    if
    :: asleep[0] -> id = 0
    :: asleep[1] -> id = 1
#if N > 2
    :: asleep[2] -> id = 2
#endif
    :: else
    fi;
    if
    :: id < N -> asleep[id] = 0
    :: else
    fi
}

/* co__idle_notify and the kick. */
inline notify()
{
    if
    :: searchers == 0 && sleepers > 0 ->
#ifdef SPLIT_BIT_FIRST
        atomic { take_a_bit() };
        if
        :: id < N -> atomic { before = sleepers; sleepers--; searchers++ }
        :: else
        fi;
#else
#ifdef SPLIT_COUNT_FIRST
        atomic {
            if
            :: searchers == 0 && sleepers > 0 -> searchers++; id = 0
            :: else -> id = N
            fi
        };
        if
        :: id < N ->
            atomic { take_a_bit() };
            if
            :: id < N -> atomic { before = sleepers; sleepers-- }
            :: else -> searchers--
            fi
        :: else
        fi;
#else
        atomic {
            id = N;
            if
            :: searchers == 0 && sleepers > 0 ->
                take_a_bit();
                before = sleepers;
                sleepers--;
                searchers++
            :: else
            fi
        };
#endif
#endif
        if
        :: id < N ->
            wake_dog(before);
            atomic { told = (bell[id] == ASLEEP); bell[id] = RUNG };
            if
            :: told -> eventfd[id] = 1
            :: else
            fi;
            told = 0
        :: else
        fi;
        id = 0;
        before = 0
    :: else
    fi
}

/* co__idle_leave */
inline leave(found)
{
    before = 0;
    atomic {
        if
        :: asleep[me] ->
            asleep[me] = 0;
            before = sleepers;
            sleepers--;
            if
            :: found -> searchers++; searching = 1
            :: else
            fi
        :: else ->
#ifndef WOKEN_NOT_COUNTED
            searching = 1
#else
            skip
#endif
        fi
    };
#ifndef DOG_NOT_WOKEN_BY_LEAVER
    wake_dog(before);
#endif
    before = 0
}

#ifdef CHAIN_LOOKS_AT_ONE_QUEUE
#define MORE (hogs > 0)
#else
#define MORE (work > 0 || hogs > 0)
#endif

/* What a worker does when it has found something: co__idle_found and the chain. */
inline found_work()
{
    if
    :: searching ->
        atomic { searchers--; searching = 0; last = (searchers == 0) };
#ifndef NO_CHAIN
        if
        :: last && MORE -> notify()
        :: else
        fi;
#endif
        last = 0
    :: else
    fi
}

/* An event that waits in the epoll of a worker that is marked as stuck, for others. */
#ifdef DOG
#define RESCUABLE(i) (i != me && stuck[i] && io[i])
#else
#define RESCUABLE(i) false
#endif

/* co__vigil_wait, before it waits: the keeper of worker 0, if that is stuck and has none. */
inline vigil_begin()
{
#ifdef DOG
    if
    :: me != 0 && stuck[0] ->
        atomic {
            if
            :: keeper == 0 -> keeper = me + 1; keeps = 1
            :: else
            fi
        }
    :: else
    fi
#else
    skip
#endif
}

#ifdef KEEPER_DOES_NOT_WAIT
#define WATCHED_EVENT false
#else
#ifdef LATE
#define WATCHED_EVENT (keeps && (io[0] || eventfd[0]))
#else
#define WATCHED_EVENT (keeps && io[0])
#endif
#endif

/*
 * leave_to in runtime/poll.c: the edge is for the worker that is held for stuck, which may sleep by
 * now.
 */
inline pass_on()
{
#ifdef LATE
    if
    :: atomic { me != 0 && stuck[0] && eventfd[0] -> eventfd[0] = 0 };
#ifndef SWALLOWS_A_WAKE_UP
        if
        :: bell[0] == RUNG -> eventfd[0] = 1
        :: else
        fi
#endif
    :: !(me != 0 && stuck[0] && eventfd[0])
    fi
#else
    skip
#endif
}

/* After the sleep: the rescue, then co__vigil_end. */
inline vigil_end()
{
    if
    :: keeps ->
        if
        :: atomic { RESCUABLE(0) -> io[0] = 0 } -> rescued = 1
        :: !(RESCUABLE(0))
        fi;
        pass_on();
#ifndef KEEPER_FOR_EVER
        keeper = 0;
#endif
        keeps = 0
    :: else
    fi
}

proctype worker(byte me)
{
    bool searching = 0, last = 0, keeps = 0, rescued = 0, told = 0;
    byte id = 0;
    short before = 0;

again:
    assert(searchers >= 0 && sleepers >= 0);
    if
    :: atomic { io[me] -> io[me] = 0 } -> found_work(); done++; goto again
    :: !io[me]
    fi;
    if
    :: atomic { work > 0 -> work-- } -> found_work(); done++; goto again
    :: work == 0
    fi;
    if
    :: atomic { hogs > 0 -> hogs-- } ->
        found_work();
        hogged[me] = 1;
        (done == SHORTS);
#ifdef LATE
        hogged[me] = 0;
#else
        atomic { hogged[me] = 0; stuck[me] = 0 };
#endif
        hogs_done++;
        goto again
    :: hogs == 0
    fi;
    if
    :: searching ->
        if
        :: atomic { RESCUABLE(0) -> io[0] = 0 } -> found_work(); done++; goto again
        :: !(RESCUABLE(0))
        fi;
        pass_on()
    :: else ->
        if
        :: 2 * searchers < N ->
            atomic {
                if
                :: 2 * searchers < N -> searchers++; searching = 1
                :: else
                fi
            };
            if
            :: searching -> goto again
            :: else
            fi
        :: else
        fi
    fi;

#ifdef LOOK_EARLY
    if
    :: work > 0 || hogs > 0 -> goto again
    :: else
    fi;
#endif
    atomic {
        asleep[me] = 1;
        sleepers++;
#ifndef KEEPS_SEARCHING
        if
        :: searching -> searchers--; searching = 0
        :: else
        fi
#endif
    };
#ifndef LOOK_EARLY
    if
    :: hogs > 0 -> leave(1); goto again
    :: hogs == 0
    fi;
#ifndef FORGETS_A_QUEUE
    if
    :: work > 0 -> leave(1); goto again
    :: work == 0
    fi;
#endif
#endif
#ifdef KEEPS_SEARCHING
    if
    :: searching -> atomic { searchers--; searching = 0 }
    :: else
    fi;
#endif
#ifdef RESTS_OVER_A_RING
    told = (bell[me] != RUNG);
    bell[me] = ASLEEP;
#else
    atomic {
        told = (bell[me] != RUNG);
        if
        :: told -> bell[me] = ASLEEP
        :: else
        fi
    };
#endif
    if
    :: told ->
        vigil_begin();
end:
        (eventfd[me] || io[me] || WATCHED_EVENT);
        eventfd[me] = 0
    :: else
    fi;
    told = 0;
    bell[me] = AWAKE;
    leave(0);
    vigil_end();
    if
    :: rescued -> rescued = 0; found_work(); done++
    :: else
    fi;
    goto again
}

proctype producer(byte k)
{
    byte id = 0;
    short before = 0;
    bool told = 0;

    if
    :: k == 0 ->
        hogs++;
        notify()
    :: else
    fi;
#ifdef LOOK_THEN_PUBLISH
    notify();
    work++
#else
    work++;
    notify()
#endif
}

#ifdef DOG
proctype network()
{
    io[0] = 1
}
#endif

#ifdef DOG
proctype watchdog()
{
    byte id = 0;
    short before = 0;
    bool awake = 0, told = 0;

again:
#ifdef DOZE_AFTER_LOOK
    awake = (sleepers < N);
    dozing = 1;
#else
    dozing = 1;
    awake = (sleepers < N);
#endif
    if
    :: !awake ->
        dog_sleeps = 1;
end:
        !dozing; /* The futex: sleeps while the word is 1. */
        dog_sleeps = 0
    :: awake ->
        dozing = 0;
end2:
        /* Ticks, for ever while anybody is awake; those that would change nothing are left out. */
        if
        :: atomic { hogged[0] && !stuck[0] -> stuck[0] = 1 }
#ifdef LATE
        :: atomic { !hogged[0] && stuck[0] -> stuck[0] = 0 }
#endif
#ifndef DOG_ONLY_MARKS
        :: stuck[0] && keeper == 0 && searchers == 0 && sleepers > 0 -> notify()
#endif
        :: sleepers == N
        fi
    fi;
    awake = 0;
    goto again
}
#endif

proctype monitor()
{
    byte i;
    byte bits = 0;

end:
    timeout ->
    atomic {
        i = 0;
        do
        :: i < N -> bits = bits + asleep[i]; i++
        :: else -> break
        od;
        assert(done == SHORTS && hogs_done == 1 && work == 0 && hogs == 0);
        assert(searchers == 0 && sleepers == N && bits == N);
#ifdef DOG
        assert(dog_sleeps)
#endif
    }
}

init
{
    byte i = 0;

    atomic {
        do
        :: i < N -> run worker(i); i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < NP -> run producer(i); i++
        :: else -> break
        od;
#ifdef DOG
        run network();
#endif
#ifdef DOG
        run watchdog();
#endif
        run monitor()
    }
}
