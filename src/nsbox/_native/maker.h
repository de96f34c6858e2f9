/* Who makes namespaces beside the rest of a box: see maker.c. */
#ifndef NSBOX_MAKER_H
#define NSBOX_MAKER_H

#include "page.h"

struct maker {
    int32_t pid; /* or 0: there is none */
    int32_t pidfd, caller;
    struct page *page;
    uint64_t kinds; /* of namespaces, as flags; 0: the plan has no such step */
    char stack[4096] __attribute__((aligned(16))); /* lent by the caller, until it is gone */
};

/* Have the step's namespaces made for the box that is to come; where no process can be had for that,
 * there is no maker. */
void maker_begin(struct maker *maker, struct page *page, const struct nsbox_step *step);

static inline int maker_is_there(const struct maker *maker)
{
    return maker->pid > 0;
}

/* What the box is to be cloned into, for want of a maker. */
static inline uint64_t maker_leaves(const struct maker *maker)
{
    return maker_is_there(maker) ? 0 : maker->kinds;
}

/* Do without, before there is a box. */
void maker_give_up(struct maker *maker);

/* Until the box has them, or this process of it has ended (-1: there is none); the maker is gone then. */
void maker_end(struct maker *maker, int box);

#endif
