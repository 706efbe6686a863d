/*
 * loop_priv.h - what loop.c and timer.c share.
 *
 * Runs in: supervisor, gateway, cli.
 */
#pragma once

#include "runtime/loop/loop.h"

struct timers;

/* timer.c: all timers of a loop; NULL with err when there is no timerfd. */
struct timers *timers_new(struct loop *loop, struct err *err);
void timers_free(struct timers *timers);

/* loop.c */
struct timers *loop_timers(struct loop *loop);
void *loop_must(void *p); /* p, which is not NULL: there is no memory */
