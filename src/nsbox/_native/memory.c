/* The memory that a launch shares with its box, made while the box before it was waited for.
 *
 * To make it, and to let go of it, takes some 20 microseconds, and more than 100 on a machine that
 * was quiet: whoever waits for the end of a box has that time. Each piece is still the memory of one
 * box and no other, so that nothing in a box could be in the way of the next. What is kept is not
 * in a fork of the caller's: that may be anybody's by then, see `nsbox.executor.nursery`.
 */
#include "memory.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    AHEAD = 16 * 1024, /* bytes: most plans and commands take less */
    PATIENCE = 1000    /* yields of a fork, which has to come about by itself then */
};

/* Whoever finds this in use, by another thread, does without. */
static int in_use;
static struct memory ahead; /* what the next launch takes; or nothing: its start is 0 */
static struct memory left;  /* what is to be unmapped */

static int begin_use(void)
{
    return !__atomic_exchange_n(&in_use, 1, __ATOMIC_ACQUIRE);
}

static void end_use(void)
{
    __atomic_store_n(&in_use, 0, __ATOMIC_RELEASE);
}

/* A fork waits for whoever is making some, for a moment, and has none of it then: neither the mappings,
 * see MADV_DONTFORK, nor the descriptor. */
static _Thread_local int forks_in_use;

static void before_fork(void)
{
    for (int i = 0; i < PATIENCE && !(forks_in_use = begin_use()); i++)
        sched_yield();
}

static void after_fork(void)
{
    if (forks_in_use)
        end_use();
}

static void after_fork_in_child(void)
{
    if (ahead.start)
        kept_close(&ahead.file);
    ahead.start = left.start = 0;
    end_use();
}

static long make(struct memory *memory, size_t size, int flags)
{
    int fd = memfd_create("nsbox", MFD_CLOEXEC);
    memory->size = size;
    memory->owner = getpid();
    memory->start = MAP_FAILED;
    long error = kept_open(&memory->file, fd);
    if (error < 0)
        return error;
    if (ftruncate(memory->file.fd, (off_t)size) == 0)
        memory->start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | flags,
                             memory->file.fd, 0);
    if (memory->start != MAP_FAILED)
        return 0;
    error = -errno;
    kept_close(&memory->file);
    return error;
}

/* What was made ahead, unless the caller has closed all descriptors that it did not know. */
static int take_ahead(struct memory *memory)
{
    if (!begin_use())
        return 0;
    *memory = ahead;
    ahead.start = 0;
    end_use();
    if (!memory->start)
        return 0;
    int ours = memory->owner == getpid(); /* not in a clone, which is no fork of libc's */
    if (ours && kept_is_there(&memory->file) &&
        madvise(memory->start, memory->size, MADV_DOFORK) == 0)
        return 1;
    if (ours)
        munmap(memory->start, memory->size);
    kept_close(&memory->file);
    return 0;
}

long memory_take(struct memory *memory, size_t size)
{
    if (size <= AHEAD && take_ahead(memory))
        return 0;
    return make(memory, size, 0);
}

void memory_unmap(void *start, size_t size)
{
    munmap(start, size);
}

void memory_leave(void *start, size_t size)
{
    int kept = 0;
    if (begin_use()) {
        kept = !left.start && madvise(start, size, MADV_DONTFORK) == 0;
        if (kept)
            left = (struct memory){.start = start, .size = size, .owner = getpid()};
        end_use();
    }
    if (!kept)
        munmap(start, size);
}

static void unmap_what_is_left(void)
{
    if (left.start && left.owner == getpid())
        munmap(left.start, left.size);
    left.start = 0;
}

static void make_ahead(void)
{
    static int forks_are_told;
    if (!forks_are_told && pthread_atfork(before_fork, after_fork, after_fork_in_child) != 0)
        return;
    forks_are_told = 1;
    struct memory made;
    if (ahead.start || make(&made, AHEAD, MAP_POPULATE) < 0)
        return; /* the launch that wants it will tell what there was */
    if (madvise(made.start, made.size, MADV_DONTFORK) == 0) {
        ahead = made;
        return;
    }
    munmap(made.start, made.size);
    kept_close(&made.file);
}

void memory_while_waiting(void)
{
    if (!begin_use())
        return;
    unmap_what_is_left();
    make_ahead();
    end_use();
}

void nsbox_forget_memory(void)
{
    struct memory memory;
    if (take_ahead(&memory)) {
        munmap(memory.start, memory.size);
        kept_close(&memory.file);
    }
    if (begin_use()) {
        unmap_what_is_left();
        end_use();
    }
}
