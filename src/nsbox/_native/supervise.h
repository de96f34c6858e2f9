/* Standing above a command until the end. */
#ifndef NSBOX_SUPERVISE_H
#define NSBOX_SUPERVISE_H

#include "page.h"

/* Before the plan: what it takes to end all that the command will start. */
void begin_to_supervise(struct page *page);

/* From the command's first steps to the end of the box; `command` is 0 where there is none. */
_Noreturn void supervise(struct page *page, long command);

/* The folder that lists us and what we start, whatever pid namespaces that is in; or -1. */
int open_own_proc(void);

/* Kill our children and all below them; `proc` is the folder where they are listed. Gives how many
 * children that were. */
int kill_descendants(int proc);

_Noreturn void leave(int code);

#endif
