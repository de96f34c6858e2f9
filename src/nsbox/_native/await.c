/* Waiting to be told to go on, by whoever connects to a socket: how a container is created first
 * and started later, by another process maybe.
 *
 * Who comes gets a byte once we are there, and sends one to have us go on; a second one from us
 * says that all up to the next wait is done. A step that fails is told as its index and its errno
 * instead, and the exec of the command closes the connection. If who came ends without a word, so
 * do we.
 */
#include "steps.h"

#include "sys.h"

long await_word(int *connection, int listener)
{
    char byte = 0;

    if (*connection >= 0) {
        SYS(__NR_write, *connection, &byte, 1);
        SYS(__NR_close, *connection);
    }
    *connection = (int)SYS(__NR_accept4, listener, 0, 0, O_CLOEXEC);
    if (*connection < 0)
        return *connection;
    long result = SYS(__NR_write, *connection, &byte, 1);
    if (result == 1)
        result = SYS(__NR_read, *connection, &byte, 1);
    return result < 0 ? result : result == 1 ? 0 : -125; /* ECANCELED */
}

void tell_of_failure(const struct run *run)
{
    const struct nsbox_outcome *outcome = &run->page->outcome;
    int32_t told[] = {outcome->step, outcome->error};
    if (run->slot[SLOT_WORD] >= 0)
        SYS(__NR_write, run->slot[SLOT_WORD], told, sizeof told);
}
