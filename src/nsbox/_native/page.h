/* The memory that a caller and its box share: the outcome, and all that a box needs to begin.
 *
 * It is a memfd, mapped by the caller before the clone and by the first process after its exec.
 * Everything inside is found by offset, for the two map it at different addresses. Nothing but our
 * own code ever runs with it mapped: the command's exec drops it, and the first process cannot be
 * traced from within the box.
 */
#ifndef NSBOX_PAGE_H
#define NSBOX_PAGE_H

#include <stddef.h>
#include <stdint.h>

#include "shim.h"

/* The descriptors that every box begins with, by their number in it. */
enum {
    SLOT_STDIN,
    SLOT_STDOUT,
    SLOT_STDERR,
    SLOT_PAGE,    /* this memory */
    SLOT_OWNER,   /* the caller's pidfd: readable once it is dead */
    SLOT_INIT,    /* the image of the first process */
    SLOT_MAKER,   /* the pidfd of who makes some of the namespaces: see maker.c */
    SLOT_PARKED = 21, /* a socket by which a box that is made ahead gets its command */
    SLOT_NOTIFY, /* a socket that takes the listener of a filter to the caller */
    SLOT_LISTENER, /* where to wait for those who say when to go on: see await.c */
    SLOT_WORD,    /* who has come, and is told of a step that fails */
    SLOT_PASSED /* from here on: what the command gets under numbers of its own */
};

enum { SLOTS = 65 };

enum {
    PARKED = 1,
    PARKED_AND_ENDED, /* by its owner, who waits for the answer alone: it need not end by itself */
    AND_ENDED = 8     /* beside the bits for standard descriptors, in the word that it waits for */
};

enum { MADE_BESIDE = 1, MADE_BY_CLONE };

struct page {
    struct nsbox_outcome outcome;
    uint32_t size; /* of all that is shared */
    uint32_t step_count, argc, envc, descriptor_count;
    int32_t highest_descriptor;
    uint32_t steps, data, strings, descriptors, pointers; /* offsets from here */
    uint32_t room;  /* for strings and pointers, where these come later; from `strings` on */
    int32_t beginning; /* a futex: not 0 before the command's exec, unless it has failed */
    int32_t go;     /* a futex: 1 once one that was made ahead may begin its command */
    int32_t making; /* the step that has namespaces made beside the others: see maker.c */
    int32_t made;   /* a futex: one of these once they are there, or -errno */
    int32_t joined; /* a futex: 1 once nobody needs their maker any longer */
    int32_t parked; /* one of these where it has waited for its command: the socket tells that its owner may
                       look for the answer */
    int32_t others;   /* 1 where the command left some that had to be ended */
    int32_t counting; /* 1 and the processor where the first process is awake, as a command has ended */
    int32_t proc; /* the first process's: the folder that lists it and what it starts, or -1 */
};
_Static_assert(offsetof(struct page, outcome) == 0, "where Python looks for it");

static inline void *at(struct page *page, uint32_t offset)
{
    return (char *)page + offset;
}

#endif
