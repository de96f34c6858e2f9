/* Carrying out a plan. */
#ifndef NSBOX_STEPS_H
#define NSBOX_STEPS_H

#include "page.h"

/* A run through the steps by one process: its descriptors by slot, and the plan. */
struct run {
    struct page *page;
    int slot[SLOTS];
};

/* `given` are the numbers of the descriptors before DUP2 has put them in their places; 0: after. */
void run_begin(struct run *run, struct page *page, const int32_t *given);

/* Close what the steps have opened. */
void run_end(struct run *run);

/* Do the steps from `first` on, up to one that starts another process (that one's index is the
 * result) or one that fails (-1, and the outcome says which and why). */
int run_steps(struct run *run, uint32_t first);

/* Do the first steps alone, which check whether the others still hold: 0, or -errno. */
long check_steps(struct run *run, uint32_t count);

/* What the threads of a caller know of a change of its mounts; the same in nsbox/template.py. */
struct watch {
    int64_t asking; /* how many do, at this moment */
    int64_t told;   /* how often one of them was told */
    int64_t looked; /* `told`, when what matters was last found to be as it was */
    int64_t root;   /* the id of the mount that is their root; 0: not known */
};

/* One concept a file; each gives a result >= 0 or -errno. */
long clone_tree(int dir, const char *path, int64_t flags);
long clone_device(int dir, const char *path, uint32_t major, uint32_t minor);
long map_ids(int tree, int user_namespace);
long mask(int *empty, int dir, const char *path);
long move_into(int tree, int dir, const char *path);
long make_folder(int dir, const char *path, int64_t mode);
long give_owner(int dir, const char *path, int from, const char *original);
long make_file(int dir, const char *path, int64_t mode, const char *bytes, int64_t length);
long make_symlink(const char *target, int dir, const char *path);
long make_device(int dir, const char *path, int64_t mode, uint32_t major, uint32_t minor);
long copy_tree(const char *source, int into);
long copy_up(int dir, const char *path, int into, int64_t with_own);
long mount_new(const char *type, int dir, const char *path, uint64_t flags, const char *data);
long open_path(int dir, const char *path);
long bind_tree(int dir, const char *path, int stage, int64_t flags);
long bind_device(int dir, const char *path, int stage, uint32_t major, uint32_t minor);
long move_from_bench(int tree, int dir, const char *path);
long remount(int dir, const char *path, const int64_t *operand);
long mask_by_mount(int dir, const char *path, int stage);
long attach_attributes(int dir, const char *path, const int64_t *operand);
long change_folder(const char *path);
long write_file(struct page *page, const char *path, const char *bytes, int64_t length);
long join_made(struct page *page, int *maker, int64_t kinds);
long join_own(struct page *page, const char *path, int64_t type);

long same_caller(int64_t uid, int64_t gid, uint64_t capabilities);
long unchanged(const char *path, int64_t mtime);
long same_kind(const char *path, int folder);
long same_mounts(int mountinfo, int64_t inode, struct watch *watch);

long is_alive(int pidfd);
long is_thawed(const char *path, const char *frozen);

long attach_devices(const char *folder, const char *program, int64_t size);

long drop_from_bounding_set(uint64_t dropped);
long effective_capabilities(uint64_t *effective);
long set_capabilities(uint64_t kept);
long raise_ambient(uint64_t raised);

long unshare_descriptors(struct page *page);
long arrange_descriptors(struct page *page);
long close_at_exec(unsigned first, unsigned flags);
long pass_descriptors(const char *numbers, int count, int *kept);
long open_terminal(int socket);
long send_descriptor(int socket, int fd);
long send_own_pidfd(int socket);
long set_window_size(int64_t rows, int64_t columns);
long hand_over(struct page *page, const char *path);
long hand_over_socket(struct page *page, long domain, long type, long protocol);

long set_limit(int resource, uint64_t soft, uint64_t hard);
long create_ruleset(uint64_t files, uint64_t scopes);
long add_path_rule(int ruleset, const char *path, uint64_t rights);
long set_label(uint64_t module, const char *label);
long set_filter(const char *program, int64_t size, unsigned flags);
long set_heard_filter(const char *program, int64_t size, int socket);

long park(struct page *page, int socket);
long await_word(int *connection, int listener);
void tell_of_failure(const struct run *run);

long default_signals(void);
void default_signal(int signal);
long loopback_up(void);
long exec_first_process(struct page *page);
long exec_command(struct page *page);
long exec_path(struct page *page, const char *path);

#endif
