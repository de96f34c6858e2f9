/* A terminal of the box's own: made from inside, its other side handed to the caller.
 *
 * Nothing is opened twice by a name that somebody in the box could have given to another file: the
 * multiplexer is checked to be devpts's, and the terminal comes from it by TIOCGPTPEER. See pty(7),
 * ioctl_tty(2).
 */
#include "steps.h"

#include <asm/ioctls.h>
#include <linux/magic.h>

#include "message.h"
#include "sys.h"

long send_descriptor(int socket, int fd)
{
    char byte = 0;
    struct part part = {.base = &byte, .length = 1};
    struct rights rights = {.length = rights_length(1),
                            .level = SOL_SOCKET_,
                            .type = SCM_RIGHTS_,
                            .descriptor = {fd}};
    struct message message = {.parts = &part,
                              .part_count = 1,
                              .control = &rights,
                              .control_length = sizeof rights};
    return SYS(__NR_sendmsg, socket, &message, 0x4000 /* MSG_NOSIGNAL */);
}

static long open_multiplexer(void)
{
    struct open_request request = {.flags = O_RDWR | O_NOCTTY | O_CLOEXEC,
                                   .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    struct {
        long type;
        char rest[248];
    } status = {0};
    long fd = SYS(__NR_openat2, AT_FDCWD, "/dev/pts/ptmx", &request, sizeof request);
    if (fd < 0)
        return fd;
    if (SYS(__NR_fstatfs, fd, &status) == 0 && status.type == DEVPTS_SUPER_MAGIC)
        return fd;
    SYS(__NR_close, fd);
    return -25; /* ENOTTY */
}

long open_terminal(int socket)
{
    int unlocked = 0;
    long terminal = 0, multiplexer = open_multiplexer();
    if (multiplexer < 0)
        return multiplexer;
    long result = SYS(__NR_ioctl, multiplexer, TIOCSPTLCK, &unlocked);
    if (result >= 0)
        result = terminal = SYS(__NR_ioctl, multiplexer, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    if (result >= 0)
        result = send_descriptor(socket, (int)multiplexer);
    SYS(__NR_close, multiplexer);
    for (int fd = 0; result >= 0 && fd < 3; fd++)
        result = SYS(__NR_dup3, terminal, fd, 0);
    if (terminal > 2)
        SYS(__NR_close, terminal);
    return result;
}

/* See ioctl_tty(2); the size in pixels is nobody's business here. */
long set_window_size(int64_t rows, int64_t columns)
{
    struct {
        unsigned short rows, columns, width, height;
    } size = {.rows = (unsigned short)rows, .columns = (unsigned short)columns};
    return SYS(__NR_ioctl, 0, TIOCSWINSZ, &size);
}
