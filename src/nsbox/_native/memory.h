/* The memory that a launch shares with its box: see memory.c. */
#ifndef NSBOX_MEMORY_H
#define NSBOX_MEMORY_H

#include <stddef.h>
#include <sys/types.h>

#include "kept.h"

struct memory {
    void *start;
    size_t size;
    pid_t owner;
    struct nsbox_kept file; /* its memfd */
};

/* Take `size` bytes of zeros, or more: what was made ahead, or made now. 0, or -errno. */
long memory_take(struct memory *memory, size_t size);

/* Give memory back whose descriptor is closed: unmapped when somebody waits. */
void memory_leave(void *start, size_t size);

void memory_unmap(void *start, size_t size);

/* Do all that by somebody who waits for something else anyway. */
void memory_while_waiting(void);

#endif
