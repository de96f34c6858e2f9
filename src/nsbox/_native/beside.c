/* Joining namespaces that were made beside us, with a loopback that is up, by another process of our
 * starter's: see maker.c. */
#include <linux/poll.h>
#include <linux/time.h>

#include "steps.h"
#include "word.h"

enum { ESRCH_ = 3, ETIMEDOUT_ = 110, MOMENT = 20 * 1000 * 1000 /* nanoseconds */ };

/* Whoever kills the maker ends what it has made too: so we look, now and then. */
static long wait_until_made(struct page *page, int maker)
{
    struct pollfd ended = {.fd = maker, .events = POLLIN};
    while (!word_of(&page->made)) {
        struct timespec moment = {.tv_nsec = MOMENT}, none = {.tv_sec = 0};
        long result = wait_while(&page->made, 0, &moment);
        if (result == -ETIMEDOUT_ && SYS(__NR_ppoll, &ended, 1, &none, 0, KERNEL_SIGSET_SIZE) > 0)
            break;
    }
    long result = word_of(&page->made);
    return result ? result : -ESRCH_;
}

/* By ourselves, where whoever made them was killed, or we may not look at it: see ptrace(2),
 * PTRACE_MODE_READ_REALCREDS, whose answer may depend on more than our rights. */
static long make_anew(int64_t kinds)
{
    long result = SYS(__NR_unshare, kinds);
    return result < 0 ? result : loopback_up();
}

long join_made(struct page *page, int *maker, int64_t kinds)
{
    long result = wait_until_made(page, *maker);
    if (result == MADE_BY_CLONE)
        return loopback_up();
    if (result < 0 && result != -ESRCH_) {
        page->outcome.step = page->making; /* that is what has failed */
        return result;
    }
    if (result < 0 || SYS(__NR_setns, *maker, kinds) < 0)
        result = make_anew(kinds);
    set_word(&page->joined, 1);
    SYS(__NR_close, *maker);
    *maker = -1;
    return result;
}
