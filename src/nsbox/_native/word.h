/* A word in the shared memory that one process sets and another waits for: see futex(2). The two map it
 * at different addresses, so it is none of FUTEX_PRIVATE_FLAG.
 */
#ifndef NSBOX_WORD_H
#define NSBOX_WORD_H

#include <linux/futex.h>

#include "sys.h"

static inline int32_t word_of(const int32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void set_word(int32_t *word, int32_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    SYS(__NR_futex, word, FUTEX_WAKE, 1);
}

/* While it is 0, and for `most`, a struct timespec, or 0; it may return early. */
static inline long wait_at_word(int32_t *word, const void *most)
{
    return SYS(__NR_futex, word, FUTEX_WAIT, 0, most);
}

#endif
