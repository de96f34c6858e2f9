/* A box that is made ahead: all is done but the command, for which it waits.
 *
 * What is run is written into the shared memory; its standard descriptors come with the message that
 * says so. See unix(7), SCM_RIGHTS.
 */
#include <linux/poll.h>

#include "message.h"
#include "steps.h"
#include "sys.h"

enum { ECHILD_ = 10, ECONNRESET_ = 104, EPROTO_ = 71, CLOEXEC_ON_RECEIPT = 0x40000000 };

/* The owner's end, of the socket or of itself, is ours: whatever copies of the socket live on. */
static long wait_for_word(int socket)
{
    struct pollfd watched[] = {{.fd = SLOT_OWNER, .events = POLLIN},
                               {.fd = socket, .events = POLLIN}};
    long result = SYS(__NR_ppoll, watched, 2, 0, 0, KERNEL_SIGSET_SIZE);
    return result < 0 ? result : watched[0].revents ? -ECHILD_ : 0;
}

/* `given` is a bit for each standard descriptor that the command gets, in order. */
static long place(const struct rights *rights, unsigned char given)
{
    const int *next = rights->descriptor;
    for (int number = 0; number < 3; number++) {
        if (!(given >> number & 1)) {
            SYS(__NR_close, number);
            continue;
        }
        long result = SYS(__NR_dup3, *next, number, 0);
        SYS(__NR_close, *next++);
        if (result < 0)
            return result;
    }
    return 0;
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

    page->parked = PARKED;
    long result = wait_for_word(socket);
    if (result == 0)
        result = SYS(__NR_recvmsg, socket, &message, CLOEXEC_ON_RECEIPT);
    if (result == 0)
        return -ECONNRESET_;
    if (result < 0)
        return result;
    size_t sent = (given & 1) + (given >> 1 & 1) + (given >> 2 & 1);
    if (sent && rights.length != rights_length(sent))
        return -EPROTO_;
    if (given & AND_ENDED)
        page->parked = PARKED_AND_ENDED;
    return place(&rights, given);
}
