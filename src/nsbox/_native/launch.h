/* What the parts of the caller's half of a launch know of each other: launch.c begins one, release.c
 * gives a command to one that waits, ending.c waits for its end.
 */
#ifndef NSBOX_LAUNCH_H
#define NSBOX_LAUNCH_H

#include "page.h"

/* Where the pointers to the strings go; gives the size of both. */
uint32_t point(struct page *page, const struct nsbox_launch *launch);

int32_t standard(int32_t given);

/* A child that does not become the box's first process ends, and nobody but us knows of it. */
void bury(struct nsbox_launch *launch);

int64_t now_us(void); /* by CLOCK_MONOTONIC */

/* Take notice that it begins now; its end tells how long it took. */
void take_time(struct nsbox_launch *launch);

/* What the groups tell of the box, while they are there; and before, where they are not its own. */
void open_figures(struct nsbox_launch *launch); /* sooner than they are wanted */
void take_figures_before(struct nsbox_launch *launch);
void take_figures(struct nsbox_launch *launch);

/* The pidfd of the command of a box that was made ahead, unless that has ended meanwhile. */
void keep_command(struct nsbox_launch *launch, int pidfd);

/* To the caller: of the end, after the figures; of a launch without a process. */
void tell_of_end(struct nsbox_launch *launch);
void tell_of_nothing(struct nsbox_launch *launch);

/* Milliseconds that a wait takes at most in a call that has done something else before: a signal that
 * came meanwhile has interrupted nothing, and the caller is to hear of it. */
enum { WAIT_AT_ONCE = 20 };

/* NSBOX_TOLD where there is more to tell. */
int exit_code_alone(const struct nsbox_told *told);

#endif
