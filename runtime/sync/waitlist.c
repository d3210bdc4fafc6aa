/* SPDX-License-Identifier: MIT */
/* waitlist.c - the list of co/waitlist.h. Everything here is under the primitive's latch. */
#include <co/waitlist.h>

void co_waitlist_add(struct co_waitlist *list, struct co_waiter *waiter, co_ticket ticket)
{
    waiter->ticket = ticket;
    waiter->next = NULL;
    waiter->prev = list->tail;
    if (list->tail)
        list->tail->next = waiter;
    else
        list->head = waiter;
    list->tail = waiter;
    waiter->order = list->arrivals++;
    waiter->linked = 1;
}

void co_waitlist_remove(struct co_waitlist *list, struct co_waiter *waiter)
{
    if (!waiter->linked)
        return;
    if (waiter->prev)
        waiter->prev->next = waiter->next;
    else
        list->head = waiter->next;
    if (waiter->next)
        waiter->next->prev = waiter->prev;
    else
        list->tail = waiter->prev;
    waiter->linked = 0;
}

struct parking {
    struct co_waitlist *list;
    struct co_latch *latch;
    struct co_waiter *waiter;
    co_wait_fn *try_it;
    void *obj;
};

enum { NO_NEED = 1 };

static int commit(co_ticket self, void *arg)
{
    struct parking *p = arg;
    int r = NO_NEED;

    co_latch_take(p->latch);
    if (!p->try_it || !p->try_it(p->obj, p->waiter)) {
        co_waitlist_add(p->list, p->waiter, self);
        r = 0;
    }
    co_latch_give(p->latch);
    return r;
}

int co_waitlist_park(struct co_waitlist *list, struct co_latch *latch, struct co_waiter *waiter,
                     co_wait_fn *try_it, void *obj, unsigned flags)
{
    struct parking p = {list, latch, waiter, try_it, obj};
    int r;

    waiter->linked = 0;
    r = co_park(commit, &p, flags);
    if (r < 0) {
        co_latch_take(latch);
        co_waitlist_remove(list, waiter);
        co_latch_give(latch);
    }
    return r == NO_NEED ? 0 : r;
}

co_ticket co_waitlist_claim_first(struct co_waitlist *list, int result)
{
    struct co_waiter *waiter = list->head;
    co_ticket ticket = waiter->ticket;

    co_waitlist_remove(list, waiter);
    return co_claim(ticket, result) ? ticket : 0;
}

co_ticket co_waitlist_claim(struct co_waitlist *list, int result, struct co_waiter **ret_waiter)
{
    while (list->head) {
        struct co_waiter *waiter = list->head;
        co_ticket ticket = co_waitlist_claim_first(list, result);

        if (ticket) {
            if (ret_waiter)
                *ret_waiter = waiter;
            return ticket;
        }
    }
    return 0;
}

enum { AT_ONCE = 32 };

/* Under the latch. Returns: how many tickets of waiters that came before `arrivals` were claimed. */
static int claim_some(struct co_waitlist *list, int result, uint64_t arrivals,
                      co_ticket *ret_tickets)
{
    int count = 0;

    while (count < AT_ONCE && list->head && list->head->order < arrivals) {
        co_ticket ticket = co_waitlist_claim(list, result, NULL);

        if (ticket)
            ret_tickets[count++] = ticket;
    }
    return count;
}

int co_waitlist_wake_all(struct co_waitlist *list, struct co_latch *latch, int result)
{
    co_ticket tickets[AT_ONCE];
    uint64_t arrivals = 0;
    int woken = 0;
    int count;

    do {
        co_latch_take(latch);
        if (woken == 0)
            arrivals = list->arrivals;
        count = claim_some(list, result, arrivals, tickets);
        co_latch_give(latch);
        for (int i = 0; i < count; i++)
            co_finish(tickets[i]);
        woken += count;
    } while (count == AT_ONCE);
    return woken;
}
