/* The steps that make mounts: by descriptors, never out of the root by a link. */
#include "rootfs.h"

#include <linux/stat.h>

#include "steps.h"
#include "sys.h"

enum { ENOENT_ = -2, ENOTDIR_ = -20 };

long clone_tree(int dir, const char *path, int64_t flags)
{
    if (dir == AT_FDCWD || !*path)
        return SYS(__NR_open_tree, dir, path, flags);
    long found = open_in_root(dir, path, O_PATH);
    if (found < 0)
        return found;
    long result = SYS(__NR_open_tree, found, "", flags | AT_EMPTY_PATH);
    SYS(__NR_close, found);
    return result;
}

long move_into(int tree, int dir, const char *path)
{
    if (dir == AT_FDCWD)
        return SYS(__NR_move_mount, tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);
    long target = open_in_root(dir, path, O_PATH);
    if (target < 0)
        return target;
    long result = SYS(__NR_move_mount, tree, "", target, "",
                      MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    SYS(__NR_close, target);
    return result;
}

long attach_attributes(int dir, const char *path, const int64_t *operand)
{
    struct mount_request request = {.set = (uint64_t)operand[1],
                                    .clear = (uint64_t)operand[2],
                                    .propagation = (uint64_t)operand[3]};
    return SYS(__NR_mount_setattr, dir, path, operand[0], &request, sizeof request);
}

long map_ids(int tree, int user_namespace)
{
    struct mount_request request = {.set = MOUNT_ATTR_IDMAP,
                                    .userns_fd = (uint64_t)user_namespace};
    return SYS(__NR_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &request,
               sizeof request);
}

/* What is bound is looked at, not what its name stood for a moment ago. */
long clone_device(int dir, const char *path, uint32_t major, uint32_t minor)
{
    long tree = clone_tree(dir, path, OPEN_TREE_CLONE | AT_SYMLINK_NOFOLLOW);
    if (tree < 0)
        return tree;
    long result = check_device(tree, major, minor);
    if (result == 0)
        return tree;
    SYS(__NR_close, tree);
    return result;
}

/* Of the device and of the inode nothing can be changed, though it can be read and written. */
static long clone_null(void)
{
    struct mount_request readonly = {.set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
                                            MOUNT_ATTR_NOEXEC,
                                     .clear = MOUNT_ATTR_NODEV};
    long tree = clone_device(AT_FDCWD, "/dev/null", NULL_MAJOR, NULL_MINOR);
    if (tree < 0)
        return tree;
    long result = SYS(__NR_mount_setattr, tree, "", AT_EMPTY_PATH, &readonly, sizeof readonly);
    if (result == 0)
        return tree;
    SYS(__NR_close, tree);
    return result;
}

static long make_empty(void)
{
    long context = SYS(__NR_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (context < 0)
        return context;
    long result = SYS(__NR_fsconfig, context, FSCONFIG_SET_STRING, "mode", "555", 0);
    if (result == 0)
        result = SYS(__NR_fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0);
    if (result == 0)
        result = SYS(__NR_fsmount, context, FSMOUNT_CLOEXEC,
                     MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                         MOUNT_ATTR_NOEXEC);
    SYS(__NR_close, context);
    return result;
}

/* An empty folder hides a folder, /dev/null hides a file; what is not there needs no hiding. All
 * the folders are one, kept in *empty: a file system for each would cost more than all the rest. */
long mask(int *empty, int dir, const char *path)
{
    long target = open_in_root(dir, path, O_PATH), tree;
    if (target == ENOENT_ || target == ENOTDIR_)
        return 0;
    if (target < 0)
        return target;
    int folder = is_folder(target);
    if (!folder)
        tree = clone_null();
    else if (*empty < 0)
        tree = make_empty();
    else
        tree = SYS(__NR_open_tree, *empty, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
    long result = tree < 0 ? tree
                           : SYS(__NR_move_mount, tree, "", target, "",
                                 MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    SYS(__NR_close, target);
    if (result == 0 && folder && *empty < 0)
        *empty = (int)tree;
    else if (tree >= 0)
        SYS(__NR_close, tree);
    return result;
}
