/* A word in the shared memory that one process sets and another waits for: see futex(2). The two map it
 * at different addresses, so it is none of FUTEX_PRIVATE_FLAG.
 */
#ifndef NSBOX_WORD_H
#define NSBOX_WORD_H

#include <linux/futex.h>

#include "sys.h"

/* Of a loop that looks at a word. */
static inline void relax(void)
{
#if defined(__x86_64__)
    __asm__ volatile("pause");
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline int32_t word_of(const int32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void set_word(int32_t *word, int32_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    SYS(__NR_futex, word, FUTEX_WAKE, 1);
}

/* While it has this value, and for `most`, a struct timespec, or 0; it may return early. */
static inline long wait_while(int32_t *word, int32_t value, const void *most)
{
    return SYS(__NR_futex, word, FUTEX_WAIT, value, most);
}

#endif
