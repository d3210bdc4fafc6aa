/* SPDX-License-Identifier: MIT */
/* waitlist.c - the list of co/waitlist.h. Its links are under the primitive's latch. */
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
    bool done; /* try_it said so */
};

static int commit(co_ticket self, void *arg)
{
    struct parking *p = arg;

    co_latch_take(p->latch);
    p->done = p->try_it && p->try_it(p->obj, p->waiter);
    if (!p->done)
        co_waitlist_add(p->list, p->waiter, self);
    co_latch_give(p->latch);
    return p->done;
}

/* NOLINTNEXTLINE(readability-function-size): to those of co_waitlist_park it adds what for. */
int co_waitlist_park_for(const char *what, struct co_waitlist *list, struct co_latch *latch,
                         struct co_waiter *waiter, co_wait_fn *try_it, void *obj, unsigned flags)
{
    struct parking p = {
        .list = list, .latch = latch, .waiter = waiter, .try_it = try_it, .obj = obj};
    int r;

    waiter->linked = 0;
    r = co_park_for(what, obj, commit, &p, flags);
    /*
     * A cancel that came before the commit has won the claim against its refusal; what try_it took
     * is taken all the same.
     */
    if (p.done)
        return 0;
    if (r < 0) {
        co_latch_take(latch);
        co_waitlist_remove(list, waiter);
        co_latch_give(latch);
    }
    return r;
}

int co_waitlist_park(struct co_waitlist *list, struct co_latch *latch, struct co_waiter *waiter,
                     co_wait_fn *try_it, void *obj, unsigned flags)
{
    return co_waitlist_park_for(NULL, list, latch, waiter, try_it, obj, flags);
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

bool co_waitlist_claim_into(struct co_waitlist *list, int result, struct co_claimed *claimed)
{
    struct co_waiter *waiter = list->head;

    if (!co_waitlist_claim_first(list, result))
        return false;
    /* It is asleep until it is finished, so its node is ours. */
    waiter->next = NULL;
    if (claimed->last)
        claimed->last->next = waiter;
    else
        claimed->first = waiter;
    claimed->last = waiter;
    return true;
}

struct co_claimed co_waitlist_claim_all(struct co_waitlist *list, int result)
{
    struct co_claimed claimed = {0};

    while (list->head)
        (void)co_waitlist_claim_into(list, result, &claimed);
    return claimed;
}

void co_waitlist_finish(const struct co_claimed *claimed)
{
    struct co_waiter *waiter = claimed->first;

    while (waiter) {
        struct co_waiter *next = waiter->next;

        co_finish(waiter->ticket); /* and it is gone */
        waiter = next;
    }
}
