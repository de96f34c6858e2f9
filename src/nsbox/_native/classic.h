/* mount(2), with places named by descriptors. */
#ifndef NSBOX_CLASSIC_H
#define NSBOX_CLASSIC_H

#include <stdint.h>

enum {
    MOUNT_REMOUNT = 0x20,
    MOUNT_NOSYMFOLLOW = 0x100,
    MOUNT_BIND = 0x1000,
    MOUNT_MOVE = 0x2000,
    MOUNT_RECURSIVE = 0x4000,
    MOUNT_KEPT = 0xf /* read-only, nosuid, nodev, noexec: the same bits for statfs(2) */
};

struct name {
    char text[40];
};

/* A path that ends with a number. */
struct name name_of(const char *before, long fd);

long mount_on(const char *source, long target, const char *type, uint64_t flags, const char *data);

/* Set and clear attributes of one mount. */
long change_mount(long mount, uint64_t set, uint64_t clear);

#endif
