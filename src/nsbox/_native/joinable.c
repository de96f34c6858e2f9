/* Whether a process can be started in a box that is there: asked by its caller, in the one call that
 * starts it, for Python takes ten times as long to ask.
 */
#include <linux/poll.h>

#include "steps.h"
#include "sys.h"

enum { EINTR_ = 4, ESRCH_ = 3, EAGAIN_ = 11 };

/* Whether the process of a pidfd has not ended: who has, has no namespaces to be joined. */
long is_alive(int pidfd)
{
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    long result;
    do {
        int64_t at_once[2] = {0};
        result = SYS(__NR_ppoll, &ended, 1, at_once, 0, 0);
    } while (result == -EINTR_); /* by a signal of the caller's */
    return result > 0 ? -ESRCH_ : result;
}

static int has(const char *text, const char *word)
{
    for (; *text; text++) {
        size_t i = 0;
        while (word[i] && text[i] == word[i])
            i++;
        if (!word[i])
            return 1;
    }
    return 0;
}

/* Whether a file of a group does not say that all in it are stopped: whoever joined it would sleep
 * before its first word, and the calling thread with it. Where there is no such file, nothing is. */
long is_thawed(const char *path, const char *frozen)
{
    char text[256];
    long fd = SYS(__NR_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    long size = SYS(__NR_read, fd, text, sizeof text - 1);
    SYS(__NR_close, fd);
    text[size > 0 ? size : 0] = 0;
    return has(text, frozen) ? -EAGAIN_ : 0;
}
