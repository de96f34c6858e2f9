/* Names resolved beneath a folder's descriptor, for the steps that build a root file system. */
#ifndef NSBOX_ROOTFS_H
#define NSBOX_ROOTFS_H

#include <stdint.h>

/* Resolve a path beneath dir as a process would whose / it is. See openat2(2). */
long open_in_root(int dir, const char *path, uint64_t flags);
long resolve_in_root(int dir, const char *path, uint64_t flags, uint64_t mode);

/* The same without openat2. */
long walk_in_root(int dir, const char *path, uint64_t flags, uint64_t mode);

/* What a descriptor, O_PATH maybe, is of: 1 for a folder; 0 for this device, -ENODEV for another. */
int is_folder(long fd);
long check_device(long fd, uint32_t major, uint32_t minor);
enum { NULL_MAJOR = 1, NULL_MINOR = 3 }; /* /dev/null, see null(4) */

#endif
