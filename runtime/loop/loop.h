/*
 * loop.h - the event loop: descriptors, timers, signals, and work that blocks.
 *
 * Runs in: supervisor, gateway, cli.
 * Owns:    its watches until they are freed; never the descriptors.
 *
 * The only door to libevent.  Everything is called on the thread that runs
 * loop_run(), one callback at a time, except the `run` half of loop_work().
 * A callback may free what it is called for, and any other watch or timer.
 */
#pragma once

#include <stdint.h>

struct loop;
struct loop_watch;
struct loop_timer;
struct err;

#define LOOP_READ  1u
#define LOOP_WRITE 2u

struct loop *loop_new(struct err *err);
void loop_free(struct loop *loop);

/* Run until loop_stop().  Returns 0, or -1 when the kernel failed us. */
int loop_run(struct loop *loop, struct err *err);
void loop_stop(struct loop *loop);

/* Call fn once, in this turn, after the events that are already due. */
void loop_defer(struct loop *loop, void (*fn)(void *arg), void *arg);

/* arg is about to be freed: forget every deferred call for it. */
void loop_undefer(struct loop *loop, const void *arg);

/*
 * Watch a descriptor.  A new watch wants nothing; loop_watch_want() says
 * LOOP_READ, LOOP_WRITE, both or 0, and is free when nothing changes.
 * on_ready gets the bits that are ready.  Level-triggered.
 */
struct loop_watch *loop_watch_new(struct loop *loop, int fd,
    void (*on_ready)(unsigned int ready, void *arg), void *arg);
void loop_watch_want(struct loop_watch *watch, unsigned int want);
void loop_watch_free(struct loop_watch *watch);

/* A one-shot timer; starting a running one moves it.  NULL-safe free. */
struct loop_timer *loop_timer_new(struct loop *loop, void (*on_time)(void *arg),
    void *arg);
void loop_timer_start(struct loop_timer *timer, uint64_t after_us);
void loop_timer_stop(struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer);

/* Call on_signal on the loop whenever the signal comes; until loop_free. */
int loop_signal(struct loop *loop, int signal,
    void (*on_signal)(int signal, void *arg), void *arg, struct err *err);

/*
 * Work that may block: run(arg) is called on one of a few helper threads,
 * then done(arg) on the loop.  Jobs start in order; run must touch nothing
 * that the loop's thread uses.  loop_free waits for what is running and calls
 * done for everything that was submitted.
 */
void loop_work(struct loop *loop, void (*run)(void *arg),
    void (*done)(void *arg), void *arg);
