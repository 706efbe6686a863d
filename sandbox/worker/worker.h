/*
 * worker.h - a jailed process that runs one function for life.
 *
 * Runs in: worker; worker_prepare() in the zygote.
 * Owns:    the regions below, descriptor 3.
 *
 *	jailed -> READY -> IDLE -> building -> IDLE -> running -> IDLE ...
 *	                     |                           |
 *	                     +- a heap comes (IMAGE) -+  +- frame, restore
 *
 * Everything that the worker will ever need is mapped before the fork; after
 * the jail it reads and writes descriptor 3, and nothing else.
 */
#pragma once

#include <stddef.h>

/* In the zygote, before its jail: map the arena and the other regions, put
 * the signal handlers in place.  0, or -1 with errno. */
int worker_prepare(void);

/* Where the process title stands (argv's bytes), for `ps`. */
void worker_set_title_memory(char *memory, size_t bytes);

/*
 * In the child: narrow the regions to memory_bytes, jail, serve.  Never
 * returns.  socket: the worker's end of its stream.
 */
void worker_main(int socket, size_t memory_bytes) __attribute__((noreturn));

/* The signal that interrupts a handler at its deadline. */
#define WORKER_INTERRUPT_SIGNAL 10 /* SIGUSR1 */

/* The signal that makes it give back the calls that it has not begun. */
#define WORKER_RECALL_SIGNAL 12 /* SIGUSR2 */
