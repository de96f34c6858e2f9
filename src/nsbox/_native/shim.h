/* What Python sees of the C: read by cffi as its cdef and by the C files as a header. */

/* One step: an operation and its operands. Text and data are offsets into the plan's bytes, data
 * followed by its length; a slot is an index into the slot table. */
struct nsbox_step {
    int64_t operation;
    int64_t operand[6];
};

/* How a launch went; in memory that the caller and the box's first process share. */
struct nsbox_outcome {
    int32_t step;     /* the step that is being done, or the last one done */
    int32_t error;    /* errno of the step that failed, or 0 */
    int32_t finished; /* a futex: 1 once the command has ended and what follows is filled in */
    int32_t status;   /* the command's wait status, see waitpid(2) */
    int32_t descriptor; /* what a step has opened for the caller, or -1 */
    int32_t completed;  /* 1 where the plan ended without another program */
    int32_t sibling;    /* the pid of what the child has cloned in its stead, or 0 */
    int64_t user_us;  /* CPU time and peak resident memory of the command and all it left */
    int64_t system_us;
    int64_t peak_kib;
};

/* What a box has come to, in memory of Python's: read there later, in this order. */
enum { NSBOX_ENDED = 1, NSBOX_NOT_BEGUN = 2 };
struct nsbox_told {
    int64_t ended;       /* 0: it has not; else one of these, and the rest is filled in */
    int64_t code;        /* as subprocess tells it: less than 0 is a signal */
    int64_t step, error; /* the step that failed and its errno, or 0 */
    int64_t user_us, system_us;
    int64_t peak_bytes;       /* the largest resident set of a process; -1: not told */
    int64_t group_peak_bytes; /* the most that its groups had; -1: not told */
    int64_t killed;           /* 1 if the kernel has ended a task in them for want of memory */
    int64_t groups_left;      /* how many of its folders could not be removed yet */
    int64_t wall_us;          /* from the launch, or from its command, to the end */
};

enum { NSBOX_INHERITED = -2 };
enum { NSBOX_DIGITS = 8 }; /* of the number of a box */

/* A descriptor that is kept: see kept.c. */
struct nsbox_kept {
    int32_t fd; /* or -1 */
    uint64_t device, inode;
};

/* A command and its environment. */
struct nsbox_strings {
    const char *text; /* argv, then envp, each string NUL-terminated */
    uint32_t size, argc, envc;
};

/* What the caller asks for, and what it gets. */
struct nsbox_launch {
    const struct nsbox_step *steps;
    uint32_t step_count;
    uint32_t first_step; /* the one to begin with */
    char *data; /* the text and data of the steps */
    uint32_t data_size;
    const uint32_t *places; /* where the number of the box goes, in the data and behind it */
    uint32_t place_count;
    const struct nsbox_strings *strings;
    uint32_t room;   /* bytes to leave for strings that come later, and the pointers to them */
    uint32_t checks; /* how many of the first steps are checks */
    const int32_t *descriptors; /* what becomes descriptor 0, 1, 2 ... of the box; -1: nothing;
                                   NSBOX_INHERITED - n: the caller's own standard descriptor n */
    uint32_t descriptor_count;
    int32_t first_process; /* the sealed image of the first process */
    int32_t end_signal;    /* what ends the box */

    uint32_t group_count; /* folders of the box's own, removed at its end: behind the data, each
                             NUL-terminated */
    uint32_t peak, kills; /* files of groups, to be read before that: offsets from the data; or 0 */
    struct nsbox_kept peak_file, kills_file; /* these, as soon as they are open */
    int64_t kills_before;                    /* what the second told before, where no group is its own */
    int64_t began_us; /* when, by CLOCK_MONOTONIC */

    uint32_t number;             /* of the box, where its names have one */
    int32_t pid, pidfd;          /* of the first process, or -1 */
    int32_t command;             /* the pidfd of the one of a box that was made ahead, or -1 */
    int32_t descriptor;          /* what a step has opened for the caller, or -1 */
    int32_t caller;              /* whose all this is: a fork's copy is not the caller */
    int32_t locked;              /* 1 while the pidfd is being used or closed: ending.c */
    int32_t handed;              /* 1 once a box that was made ahead has its descriptors */
    int32_t awaited, waited;     /* 1 once the first process's end is waited for, and once it is known */
    void *memory; /* what is shared, and begins with a struct nsbox_outcome; or NULL */
    uint32_t memory_size;
    struct nsbox_outcome outcome; /* once it has ended: what was told there */
    struct nsbox_told *told;
};

/* Each gives 0, or -errno where it could not do its own part; a step that failed is in the outcome. */
int nsbox_launch(struct nsbox_launch *launch);
/* And wait for the end, in the same call: what it has exited with, if that is all there is to tell. */
enum { NSBOX_TOLD = 256 }; /* there is more, or it has not ended for some time: see `told` */
int nsbox_run(struct nsbox_launch *launch);
int nsbox_release_parked(struct nsbox_launch *launch, int socket); /* -E2BIG: no room, -ESTALE */
int nsbox_run_parked(struct nsbox_launch *launch, int socket,
                     const struct nsbox_strings *strings); /* as nsbox_run, with our own streams */
void nsbox_take_command(struct nsbox_launch *launch, int socket, int64_t timeout_ms);
int nsbox_wait_answer(struct nsbox_launch *launch, int socket, int64_t timeout_ms);
int nsbox_wait_exec(struct nsbox_launch *launch);
int nsbox_wait_end(struct nsbox_launch *launch, int64_t timeout_ms); /* and let go of all of it */
int nsbox_signal(struct nsbox_launch *launch, int signal); /* -ESRCH once that is so */

/* Each in one call, so that nothing that the caller's signal handlers do comes in between. */
void nsbox_close(struct nsbox_launch *launch);   /* of one that was waited for, or of none */
void nsbox_end(struct nsbox_launch *launch);     /* the process, if it has not */
void nsbox_release(struct nsbox_launch *launch); /* end and close whatever is left, and all that is
                                                    shared is gone */

void nsbox_forget_memory(void);  /* what is kept for the next launch: see memory.c */

int nsbox_first_process(void);   /* a sealed memfd with the first process in it */
uint64_t nsbox_capabilities(void); /* the calling thread's effective set */
struct nsbox_syscall {
    const char *name;
    int32_t number;
};
const struct nsbox_syscall *nsbox_syscalls(void); /* by name; ends with a name that is NULL */
int nsbox_ask(const char *call); /* what a system call answers to impossible arguments */

/* Below a root that others may be changing; made for uid and gid, or for the caller: -1. */
int nsbox_open_beneath(int root, const char *path, int flags, int mode, int64_t uid, int64_t gid);
int nsbox_make_beneath(int folder, const char *name, const char *link, int mode, int64_t uid,
                       int64_t gid); /* a folder, or what links to `link` */

int nsbox_write_text(const char *path, const char *text, uint64_t size);

/* The keys of a flat keyed file; an empty one is that of a number alone. */
struct nsbox_form {
    uint32_t keys, count; /* where they begin, one after the other, each NUL-terminated */
};

/* Files that are read together; those below `kept` stay open from the first time on. */
enum { NSBOX_NOT_OPENED = -2147483648 };
struct nsbox_texts {
    uint32_t count, kept;
    const char *paths;    /* one after the other, each NUL-terminated */
    int32_t *descriptors; /* NSBOX_NOT_OPENED, or -ENOENT for what is not there */
    int32_t *lengths;     /* of what was read, one text behind the other; or -errno */
    const struct nsbox_form *forms;
    const char *keys;
    const int32_t *form; /* which one a file is of, or -1; or NULL */
    int64_t *numbers;    /* of all files of a form; -1 at the first of one that is not so */
};
int64_t nsbox_read_texts(struct nsbox_texts *texts, char *buffer, uint64_t size); /* or -ENOBUFS */
void nsbox_close_texts(struct nsbox_texts *texts);
