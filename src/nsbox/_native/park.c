/* A box that is made ahead: all is done but the command, for which it waits.
 *
 * First it gets the standard descriptors, see unix(7), SCM_RIGHTS. While it wakes up for these its
 * owner looks whether all still holds, writes what is run into the shared memory, and then says so by
 * a word there, see futex(2).
 */
#include <linux/poll.h>
#include <linux/time.h>

#include "message.h"
#include "steps.h"
#include "word.h"

enum {
    EINTR_ = 4,
    ECHILD_ = 10,
    EAGAIN_ = 11,
    EPROTO_ = 71,
    ECONNRESET_ = 104,
    ETIMEDOUT_ = 110
};

/* The owner's end, of the socket or of itself, is ours: whatever copies of the socket live on. */
static long wait_for_word(int socket)
{
    struct pollfd watched[] = {{.fd = SLOT_OWNER, .events = POLLIN},
                               {.fd = socket, .events = POLLIN}};
    long result = SYS(__NR_ppoll, watched, 2, 0, 0, KERNEL_SIGSET_SIZE);
    return result < 0 ? result : watched[0].revents ? -ECHILD_ : 0;
}

/* Whoever dies, or gives us up, between the two says nothing any more: so we look, now and then. */
static long wait_to_go(struct page *page, int socket)
{
    struct pollfd watched[] = {{.fd = SLOT_OWNER, .events = POLLIN},
                               {.fd = socket, .events = POLLIN}};
    while (!word_of(&page->go)) {
        struct timespec moment = {.tv_nsec = 20 * 1000 * 1000}, none = {.tv_sec = 0};
        long result = wait_while(&page->go, 0, &moment);
        if (result == 0 || result == -EAGAIN_ || result == -EINTR_)
            continue;
        if (result != -ETIMEDOUT_)
            return result;
        if (SYS(__NR_ppoll, watched, 2, &none, 0, KERNEL_SIGSET_SIZE) > 0)
            return -ECHILD_;
    }
    return 0;
}

/* To the owner, who learns from it of our end, by whatever program that comes; or a byte alone, where there is
 * no room for a descriptor, or too many are on their way: then the first process tells of it, a moment later. */
long send_own_pidfd(int socket)
{
    char byte = 0;
    long pidfd = SYS(__NR_pidfd_open, SYS(__NR_getpid), 0);
    if (pidfd < 0 || send_descriptor(socket, (int)pidfd) < 0)
        SYS(__NR_sendto, socket, &byte, 1, 0x4000 /* MSG_NOSIGNAL */, 0, 0);
    if (pidfd >= 0)
        SYS(__NR_close, pidfd);
    return 0;
}

static void close_standard(void)
{
    for (int number = 0; number < 3; number++)
        SYS(__NR_close, number);
}

/* `given` is a bit for each standard descriptor that the command gets. They came in order, and have
 * the lowest numbers that were free: mostly all three are where they belong. */
static long place(unsigned char given, size_t sent)
{
    long result = 0;
    int from = (int)sent - 1;
    for (int number = 2; number >= 0 && result >= 0; number--) {
        if (!(given >> number & 1))
            continue;
        if (from != number) {
            result = SYS(__NR_dup3, from, number, 0);
            SYS(__NR_close, from);
        }
        from--;
    }
    return result < 0 ? result : 0;
}

long park(struct page *page, int socket)
{
    unsigned char given = 0;
    struct rights rights = {.length = 0};
    struct part part = {.base = &given, .length = 1};
    struct message message = {.parts = &part,
                              .part_count = 1,
                              .control = &rights,
                              .control_length = sizeof rights};

    close_standard(); /* for those that come */
    page->parked = PARKED;
    long result = wait_for_word(socket);
    if (result == 0)
        result = SYS(__NR_recvmsg, socket, &message, 0);
    if (result == 0)
        return -ECONNRESET_;
    if (result < 0)
        return result;
    size_t sent = (given & 1) + (given >> 1 & 1) + (given >> 2 & 1);
    if (sent && rights.length != rights_length(sent))
        return -EPROTO_;
    if (given & AND_ENDED)
        page->parked = PARKED_AND_ENDED;
    result = place(given, sent);
    return result < 0 ? result : wait_to_go(page, socket);
}
