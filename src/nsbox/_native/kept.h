/* Descriptors that are kept in a caller's table while it does what it likes: see kept.c. */
#ifndef NSBOX_KEPT_H
#define NSBOX_KEPT_H

#include "page.h"

/* The same descriptor by a number that is none of the standard ones; or -1 and errno. */
int above_standard(int fd);

/* Keep one, or tell of the errno for which there is none: 0, or -errno. */
long kept_open(struct nsbox_kept *kept, int fd);

int kept_is_there(const struct nsbox_kept *kept);

void kept_close(struct nsbox_kept *kept);

#endif
