/*
 * files.h - what a running upload function may do with files: read the
 * content that it was started for, write results below its output folder.
 *
 * Runs in: gateway.
 * Owns:    duplicates of its two descriptors, the outputs that are not
 *          committed.
 *
 * One struct files per invocation.  Calls are carried out in order, one at a
 * time, on a helper thread; everything else is on the loop's thread.  An
 * output grows in a hidden file of the output folder and gets its name when
 * it is committed, durable and whole; what is not committed disappears with
 * files_free(), or, when the gateway was killed, with files_clean().
 *
 * A reason is a text for the function's author, valid during the call; NULL:
 * it was done.  done() may come before the call returns (a refusal) and may
 * free the files.
 */
#pragma once

#include "sandbox/base/bytes.h"

struct loop;
struct files;

#define FILES_READ_MAX	1048576 /* bytes of one read, of one write */
#define FILES_NAME_MAX	200	/* bytes of an output's name */
#define FILES_DEPTH_MAX 4	/* folders in an output's name */
#define FILES_QUEUE_MAX 16	/* calls that wait */

struct files_limits {
	uint32_t max_outputs;	   /* open at once; default 64 */
	uint64_t max_output_bytes; /* of one invocation; default 256 MiB */
};

typedef void (*files_done_fn)(const char *reason, void *arg);

/*
 * content_fd: a file to read, or -1.  output_fd: a directory, or -1.  Both
 * are duplicated.  limits NULL: the defaults.
 */
struct files *files_new(struct loop *loop, int content_fd, int output_fd,
    const struct files_limits *limits);

/*
 * At most FILES_READ_MAX bytes come, however many are asked for; none: the
 * end.  data is valid during done().
 */
void files_read(struct files *files, uint64_t offset, uint32_t bytes,
    void (*done)(struct slice data, const char *reason, void *arg), void *arg);

/*
 * Append to the output NAME, which begins to exist with its first write.
 * Names are relative: printable UTF-8, no part empty or beginning with ".".
 */
void files_write(struct files *files, struct slice name, struct slice bytes,
    files_done_fn done, void *arg);

/*
 * Give the output its name, atomically; folders are made.  Replaces a regular
 * file of that name and nothing else.
 */
void files_commit(struct files *files, struct slice name, files_done_fn done,
    void *arg);

/* Nobody waits any more: no done() comes, uncommitted outputs go.  NULL is
 * fine. */
void files_free(struct files *files);

/* Remove what a killed gateway left in an output folder; blocks. */
void files_clean(int output_fd);
