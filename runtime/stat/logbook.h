/*
 * logbook.h - the structured log: what functions and the platform say.
 *
 * Runs in: gateway.
 * Owns:    the newest lines in memory, the log file and what waits for it.
 *
 * A line is one JSON object:
 *
 *	{"time":"2026-11-23T10:00:00.123Z","level":"info","function":"hello",
 *	 "version":3,"request_id":"...","message":"...","fields":{...}}
 *
 * Lines of the platform itself have function, version and request_id null.
 * Text comes from functions and is not trusted: it is escaped, cut at a limit,
 * and can't begin a second line.  Writing never blocks: lines go to the file
 * (DIR/perilune.log, renamed to .1 when full) in batches on a helper thread;
 * when that can't keep up, lines are dropped from the file and counted.
 */
#pragma once

#include "sandbox/base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct logbook;
struct logbook_follower;
struct loop;

#define LOGBOOK_MEMORY_BYTES  (2u << 20) /* newest lines, for tail */
#define LOGBOOK_WAITING_BYTES (8u << 20) /* for the file; then dropped */
#define LOGBOOK_MESSAGE_BYTES 32768	 /* of one message; the rest is cut */
#define LOGBOOK_FIELDS_BYTES  16384	 /* of one fields object */

#define LOG_LEVELS(X) \
	X(DEBUG, "debug") X(INFO, "info") X(WARN, "warn") X(ERROR, "error")
#define X(name, text) LOG_LEVEL_##name,
enum log_level { LOG_LEVELS(X) };
#undef X
const char *log_level_name(unsigned int level);

/* What is shown on stderr too, in a form for people: nothing, the platform's
 * own lines, or the functions' as well (--dev). */
enum logbook_echo { LOGBOOK_QUIET, LOGBOOK_PLATFORM, LOGBOOK_ALL };

/*
 * dir: a folder below dirfd, made when it is not there.  file_bytes: size at
 * which the file is renamed to .1 (one older file is kept).
 */
struct logbook *logbook_open(struct loop *loop, int dirfd, const char *dir,
    uint64_t file_bytes, enum logbook_echo echo, struct err *err);

/* SIGHUP: another file size, and a new file if this one was moved away. */
void logbook_reopen(struct logbook *logbook, uint64_t file_bytes);

/*
 * One line.  function NULL: of the platform; request_id NULL: none.  fields: a
 * JSON object or empty; anything else is kept as a string.
 */
void logbook_write(struct logbook *logbook, enum log_level level,
    const char *function, uint32_t version, const char *request_id,
    struct slice message, struct slice fields);

/* A line of the platform. */
void logbook_note(struct logbook *logbook, enum log_level level,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/*
 * The newest `lines` lines that are still in memory, oldest first, without
 * their newline.  function NULL: of all and of the platform.
 */
void logbook_tail(const struct logbook *logbook, const char *function,
    size_t lines, void (*each)(struct slice line, void *arg), void *arg);

/*
 * Call on_line for every line from now on, inside logbook_write; it may
 * unfollow but not write.  Following ends with logbook_unfollow or
 * logbook_close, whichever is first.
 */
struct logbook_follower *logbook_follow(struct logbook *logbook,
    const char *function, void (*on_line)(struct slice line, void *arg),
    void *arg);
void logbook_unfollow(struct logbook_follower *follower);

struct logbook_stats {
	uint64_t lines;	       /* written since start */
	uint64_t dropped;      /* not in the file: too slow, or it failed */
	uint64_t echo_dropped; /* stderr took nothing */
	uint64_t cut;	       /* message or fields over the limit */
};
void logbook_stats(const struct logbook *logbook,
    struct logbook_stats *stats_out);

/* done when everything written so far is in the file (or dropped); it may
 * write, but not close. */
void logbook_flush(struct logbook *logbook, void (*done)(void *arg), void *arg);

/* Write what waits, then free; before loop_free, which ends a batch that is
 * under way.  Flushes that wait are done. */
void logbook_close(struct logbook *logbook);
