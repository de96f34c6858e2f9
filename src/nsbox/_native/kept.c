/* Descriptors that are kept in a caller's table while it does what it likes.
 *
 * It may have closed its standard ones, whose numbers are given to none of these; and it may close all
 * that it does not know, and open others under their numbers: each is known again by its file.
 */
#include "kept.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int above_standard(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    int higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1), error = errno;
    close(fd);
    errno = error;
    return higher;
}

long kept_open(struct nsbox_kept *kept, int fd)
{
    struct stat file;
    kept->fd = -1;
    fd = above_standard(fd);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &file) < 0) {
        long error = -errno;
        close(fd);
        return error;
    }
    *kept = (struct nsbox_kept){.fd = fd, .device = file.st_dev, .inode = file.st_ino};
    return 0;
}

int kept_is_there(const struct nsbox_kept *kept)
{
    struct stat file;
    return kept->fd >= 0 && fstat(kept->fd, &file) == 0 && file.st_dev == kept->device &&
           file.st_ino == kept->inode;
}

void kept_close(struct nsbox_kept *kept)
{
    int fd = kept_is_there(kept) ? kept->fd : -1;
    kept->fd = -1; /* first: a fork in between, by another thread, must not close what comes after */
    if (fd >= 0)
        close(fd);
}
