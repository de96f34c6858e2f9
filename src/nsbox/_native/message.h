/* Descriptors in a message: see sendmsg(2), cmsg(3), unix(7). libc's headers and the kernel's do not
 * go together, and only libc's have these. */
#ifndef NSBOX_MESSAGE_H
#define NSBOX_MESSAGE_H

#include <stddef.h>

enum { MOST_DESCRIPTORS = 3, SOL_SOCKET_ = 1, SCM_RIGHTS_ = 1 };

struct part {
    void *base;
    size_t length;
};

struct message {
    void *name;
    int name_length;
    struct part *parts;
    size_t part_count;
    void *control;
    size_t control_length;
    int flags;
};

struct rights {
    size_t length; /* of this, as far as it is in use: `rights_length` */
    int level, type;
    int descriptor[MOST_DESCRIPTORS];
};

static inline size_t rights_length(size_t count)
{
    return offsetof(struct rights, descriptor) + sizeof(int) * count;
}

#endif
