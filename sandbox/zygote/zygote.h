/*
 * zygote.h - forks workers when the gateway asks, and reports their end.
 *
 * Runs in: zygote.
 * Owns:    the control socket, the table of live workers.
 *
 * Never reads a request and never opens a file.  Jailed before the first word
 * from the gateway is read.
 */
#pragma once

#include "sandbox/base/bytes.h"

#define ZYGOTE_CONTROL 3 /* the descriptor of the control socket */

/* Serve until the gateway goes away; returns the exit status.  hello: what is
 * said first (the layer report and the self-test). */
int zygote_serve(struct slice hello);
