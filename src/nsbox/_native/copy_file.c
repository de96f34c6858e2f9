/* What is in one file, and what is attached to it, copied. */
#include "copy.h"

#include "sys.h"

enum { EPERM_ = -1, ENXIO_ = -6, EINVAL_ = -22, ENODATA_ = -61, EOPNOTSUPP_ = -95 };
enum { SET_ = 0, END_ = 2, DATA_ = 3, HOLE_ = 4 /* lseek(2) */ };

/* See lseek(2), "Seeking file data and holes": without it, all of a file is data. */
long copy_data(long from, long to)
{
    int64_t size = SYS(__NR_lseek, from, 0, END_), at = 0;
    while (at < size) {
        int64_t begin = SYS(__NR_lseek, from, at, DATA_);
        if (begin == ENXIO_)
            break;
        at = begin < 0 ? at : begin;
        int64_t end = begin < 0 ? size : SYS(__NR_lseek, from, at, HOLE_);
        SYS(__NR_lseek, to, at, SET_);
        while (at < end) {
            long sent = SYS(__NR_sendfile, to, from, &at, end - at);
            if (sent < 0)
                return sent;
            if (sent == 0) /* it was made shorter meanwhile */
                return 0;
        }
    }
    return SYS(__NR_ftruncate, to, size);
}

static int begins(const char *text, const char *with)
{
    while (*with)
        if (*text++ != *with++)
            return 0;
    return 1;
}

/* An overlay's own marks are not for who looks at it. One of them hides what is below. */
static long judge(const char *name)
{
    const char *mark = begins(name, "trusted.overlay.") ? name + 16
                       : begins(name, "user.overlay.")  ? name + 13
                                                        : 0;
    return !mark ? 1 : begins(mark, "opaque") ? EOPNOTSUPP_ : 0;
}

/* What the file system of the copy does not take, or not from us, stays behind. */
long copy_attributes(char *names, long from, long to)
{
    long half = ATTRIBUTES_SIZE / 2, size = SYS(__NR_flistxattr, from, names, half);
    char *value = names + half;
    for (const char *name = names; name < names + size; name += __builtin_strlen(name) + 1) {
        long wanted = judge(name);
        if (wanted < 0)
            return wanted;
        long length = wanted ? SYS(__NR_fgetxattr, from, name, value, half) : ENODATA_;
        if (length < 0)
            continue;
        long result = SYS(__NR_fsetxattr, to, name, value, length, 0);
        if (result < 0 && result != EOPNOTSUPP_ && result != EPERM_ && result != EINVAL_)
            return result;
    }
    return 0;
}
