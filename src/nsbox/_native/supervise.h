/* Standing above a command until the end. */
#ifndef NSBOX_SUPERVISE_H
#define NSBOX_SUPERVISE_H

#include "page.h"

/* Before the plan: what it takes to end all that the command will start. */
int begin_to_supervise(void);

/* From the command's exec to the end of the box; `command` is 0 where there is none, `children` is
 * what the call above gave. */
_Noreturn void supervise(struct page *page, long command, int children);

_Noreturn void leave(int code);

#endif
