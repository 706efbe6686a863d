/*
 * solo.h - one function in the real sandbox, without a server: what `check`,
 * `run`, `doctor` and `deploy` stand on.
 *
 * Runs in: cli.
 * Owns:    a loop, a zygote of its own, calls.
 *
 * The same zygote, pool and calls as behind the gateway; only the front is
 * missing.
 */
#pragma once

#include "runtime/call/call.h"
#include "sandbox/wire/layers.h"

struct err;
struct loop;
struct solo;

/* Start and wait for the zygote's hello; err says why there is none.  Call it
 * before there are threads.  allowed as in wall.h; ~0u: whatever there is. */
struct solo *solo_open(unsigned int allowed, struct err *err);

const struct jail_report *solo_report(const struct solo *solo);
struct slice solo_self_test(const struct solo *solo);
struct slice solo_lua(const struct solo *solo); /* "Lua 5.4.4" */
unsigned int solo_failed_tests(const struct solo *solo);
struct loop *solo_loop(struct solo *solo);
struct calls *solo_calls(struct solo *solo);

/* Lines that the function logs go here; NULL: to stderr. */
void solo_on_log(struct solo *solo,
    void (
	*on_log)(enum wire_log level, struct slice text, struct slice fields));

/* Run the init; 0, or -1 with the function's error on stderr. */
int solo_build(struct solo *solo, struct fn_version *version);

void solo_close(struct solo *solo);
