/*
 * logbook_priv.h - the file half and the text half of the logbook.
 *
 * Runs in: gateway.
 */
#pragma once

#include "runtime/stat/logbook.h"

#include <sys/types.h>

/* --- logfile.c: called on one thread at a time, a helper's or the loop's -- */

struct logfile {
	int dirfd; /* of the log folder, its own */
	int fd;	   /* -1: not open; tried again with the next batch */
	off_t bytes;
	uint64_t file_bytes;
};

int logfile_open(struct logfile *file, int dirfd, const char *dir,
    uint64_t file_bytes, struct err *err);

/*
 * Append whole lines, renaming the file when it is full.  On failure nothing
 * of them is in the file.
 */
int logfile_append(struct logfile *file, struct slice lines, struct err *err);
void logfile_close(struct logfile *file);

/* --- logline.c: pure ---------------------------------------------------- */

struct logline {
	int64_t wall_ms;
	enum log_level level;
	const char *function;
	uint32_t version;
	const char *request_id;
	struct slice message;
	struct slice fields;
};

/* Add the JSON form, without newline.  Returns true when text was cut. */
bool logline_json(struct buf *out, const struct logline *line);

/* Add the form for people, with newline, at most max bytes of it. */
void logline_human(struct buf *out, const struct logline *line, bool colour,
    size_t max);
