/* Standing above a command until the end. */
#ifndef NSBOX_SUPERVISE_H
#define NSBOX_SUPERVISE_H

#include "page.h"

/* Before the plan: what it takes to end all that the command will start. */
int begin_to_supervise(void);

/* From the command's exec to the end of the box; `command` is 0 where there is none, `proc` is
 * what the call above gave. */
_Noreturn void supervise(struct page *page, long command, int proc);

/* The folder that lists the processes of our own pid namespace, or -1 where /proc is another's. */
int open_own_proc(void);

/* Kill the children of a process and all below them; `proc` is the folder where they are listed.
 * Gives how many children that were. */
int kill_children(int proc, long pid, int depth);

_Noreturn void leave(int code);

#endif
