/*
 * files_priv.h - what files.c (the loop's half) and outputs.c (the half that
 * blocks) share.
 *
 * Runs in: gateway.
 */
#pragma once

#include "runtime/hostcall/files.h"

#include <sys/queue.h>

#define REASON_MAX 200
#define TEMP_MAX   64

/* A result that has no name yet. */
struct output {
	TAILQ_ENTRY(output) link;
	int fd; /* locked: it is in use */
	bool broken;
	char temp[TEMP_MAX];
	char name[FILES_NAME_MAX + 1];
};

/* Touched only by the job that runs, one at a time. */
struct outputs {
	TAILQ_HEAD(, output) list;
	uint32_t n;
	uint32_t max;
	int dirfd;
};

/* What may be told to a function's author; false: *reason says why not. */
bool outputs_name_valid(struct slice name, char reason[REASON_MAX]);

/* These block.  An empty reason: done. */
void outputs_write(struct outputs *outputs, const char *name,
    struct slice bytes, char reason[REASON_MAX]);
void outputs_commit(struct outputs *outputs, const char *name,
    char reason[REASON_MAX]);
void outputs_drop(struct outputs *outputs);
