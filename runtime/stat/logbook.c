/*
 * logbook.c - lines in memory, followers, and batches for the file; see
 * logbook.h.
 *
 * Runs in: gateway.
 * Owns:    the lines in memory, the waiting batch, the batch under way.
 *
 * At most one batch is under way; the helper thread touches only that batch
 * and the struct logfile, the loop's thread neither of them meanwhile.
 */
#include "runtime/stat/logbook.h"

#include "runtime/loop/loop.h"
#include "runtime/stat/logbook_priv.h"
#include "runtime/stat/record.h"
#include "sandbox/base/clock.h"
#include "sandbox/base/err.h"

#include <assert.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#define KEEP_BYTES 65536 /* of a batch buffer between batches */
#define NOTE_MAX   1024

struct kept {
	TAILQ_ENTRY(kept) entries;
	char function[RECORD_NAME_MAX];
	bool platform;
	size_t n;
	char text[];
};

struct logbook_follower {
	TAILQ_ENTRY(logbook_follower) entries;
	struct logbook *logbook;
	char *function; /* NULL: all */
	void (*on_line)(struct slice line, void *arg);
	void *arg;
	bool dead; /* unfollowed inside a callback */
};

struct flush {
	TAILQ_ENTRY(flush) entries;
	uint64_t batch; /* done when this one is */
	void (*done)(void *arg);
	void *arg;
};

struct batch {
	struct buf lines;
	uint64_t nlines;
	struct err err;
	int result;
};

struct logbook {
	struct loop *loop;
	struct logfile file;
	uint64_t file_bytes; /* for the next batch */
	enum logbook_echo echo;
	bool colour;
	TAILQ_HEAD(kept_list, kept) kept;
	size_t kept_bytes;
	TAILQ_HEAD(follower_list, logbook_follower) followers;
	bool following; /* inside their callbacks */
	TAILQ_HEAD(flush_list, flush) flushes;
	struct batch waiting;
	struct batch under_way;
	bool busy;
	bool closing;
	uint64_t begun; /* batches, since open */
	uint64_t ended;
	uint64_t unsaid; /* dropped, and no line says so yet */
	struct buf scratch;
	struct logbook_stats stats;
};

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

struct logbook *
logbook_open(struct loop *loop, int dirfd, const char *dir, uint64_t file_bytes,
    enum logbook_echo echo, struct err *err)
{
	struct logbook *logbook = must(calloc(1, sizeof(*logbook)));

	if (logfile_open(&logbook->file, dirfd, dir, file_bytes, err) < 0) {
		free(logbook);
		return NULL;
	}
	logbook->loop = loop;
	logbook->file_bytes = file_bytes;
	logbook->echo = echo;
	logbook->colour =
	    isatty(STDERR_FILENO) == 1 && getenv("NO_COLOR") == NULL;
	TAILQ_INIT(&logbook->kept);
	TAILQ_INIT(&logbook->followers);
	TAILQ_INIT(&logbook->flushes);
	return logbook;
}

/* logfile looks for a file that was moved with every batch anyway. */
void
logbook_reopen(struct logbook *logbook, uint64_t file_bytes)
{
	logbook->file_bytes = file_bytes;
}

static void
run_batch(void *arg)
{
	struct logbook *logbook = arg;
	struct batch *batch = &logbook->under_way;

	batch->result = logfile_append(&logbook->file, buf_slice(&batch->lines),
	    &batch->err);
}

static void start_batch(struct logbook *logbook);

static void
finish_flushes(struct logbook *logbook)
{
	struct flush *flush;

	while ((flush = TAILQ_FIRST(&logbook->flushes)) != NULL &&
	    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
	    (flush->batch <= logbook->ended || logbook->closing)) {
		TAILQ_REMOVE(&logbook->flushes, flush, entries);
		flush->done(flush->arg);
		free(flush);
	}
}

static void
drop(struct logbook *logbook, uint64_t lines)
{
	logbook->stats.dropped += lines;
	logbook->unsaid += lines;
}

/* The file works again: say what is missing in it.  Straight into the waiting
 * batch: a dropped line must not produce another one that may be dropped. */
static void
say_dropped(struct logbook *logbook)
{
	char text[128];
	struct logline line = {.wall_ms = clock_wall_ms(),
	    .level = LOG_LEVEL_WARN};

	(void)snprintf(text, sizeof(text), "%llu log lines were dropped here",
	    (unsigned long long)logbook->unsaid);
	line.message = slice_of(text);
	(void)logline_json(&logbook->waiting.lines, &line);
	buf_putc(&logbook->waiting.lines, '\n');
	logbook->waiting.nlines++;
	logbook->unsaid = 0;
}

static void logbook_destroy(struct logbook *logbook);

static void
end_batch(struct logbook *logbook)
{
	struct batch *batch = &logbook->under_way;

	if (batch->result < 0)
		drop(logbook, batch->nlines);
	else if (logbook->unsaid > 0)
		say_dropped(logbook);
	buf_reset(&batch->lines, KEEP_BYTES);
	batch->nlines = 0;
	logbook->ended++;
	logbook->busy = false;
}

static void
batch_done(void *arg)
{
	struct logbook *logbook = arg;

	end_batch(logbook);
	if (logbook->closing) {
		logbook_destroy(logbook);
		return;
	}
	finish_flushes(logbook);
	if (logbook->waiting.lines.n > 0 && !logbook->busy)
		start_batch(logbook);
}

static void
take_waiting(struct logbook *logbook)
{
	struct batch empty = logbook->under_way;

	logbook->under_way = logbook->waiting;
	logbook->waiting = empty;
	logbook->file.file_bytes = logbook->file_bytes;
	logbook->begun++;
	logbook->busy = true;
}

static void
start_batch(struct logbook *logbook)
{
	take_waiting(logbook);
	loop_work(logbook->loop, run_batch, batch_done, logbook);
}

static void
to_file(struct logbook *logbook, struct slice line)
{
	struct batch *batch = &logbook->waiting;

	if (batch->lines.n + line.n + 1 > LOGBOOK_WAITING_BYTES) {
		drop(logbook, 1);
		return;
	}
	buf_add_slice(&batch->lines, line);
	buf_putc(&batch->lines, '\n');
	batch->nlines++;
	if (!logbook->busy)
		start_batch(logbook);
}

static void
keep(struct logbook *logbook, const char *function, struct slice line)
{
	struct kept *kept = must(malloc(sizeof(*kept) + line.n));
	struct kept *oldest;

	kept->platform = function == NULL;
	(void)slice_copy(kept->function, sizeof(kept->function),
	    slice_of(function));
	kept->n = line.n;
	memcpy(kept->text, line.p, line.n);
	TAILQ_INSERT_TAIL(&logbook->kept, kept, entries);
	logbook->kept_bytes += sizeof(*kept) + kept->n;
	while (logbook->kept_bytes > LOGBOOK_MEMORY_BYTES) {
		oldest = TAILQ_FIRST(&logbook->kept);
		TAILQ_REMOVE(&logbook->kept, oldest, entries);
		logbook->kept_bytes -= sizeof(*oldest) + oldest->n;
		free(oldest);
	}
}

static void
follower_free(struct logbook_follower *follower)
{
	TAILQ_REMOVE(&follower->logbook->followers, follower, entries);
	free(follower->function);
	free(follower);
}

static void
tell_followers(struct logbook *logbook, const char *function, struct slice line)
{
	struct logbook_follower *follower;
	struct logbook_follower *next;

	assert(!logbook->following);
	logbook->following = true;
	TAILQ_FOREACH (follower, &logbook->followers, entries) {
		bool wanted = follower->function == NULL ||
		    (function != NULL &&
			strcmp(follower->function, function) == 0);

		if (wanted && !follower->dead)
			follower->on_line(line, follower->arg);
	}
	logbook->following = false;
	for (follower = TAILQ_FIRST(&logbook->followers); follower != NULL;
	     follower = next) {
		next = TAILQ_NEXT(follower, entries);
		if (follower->dead)
			follower_free(follower);
	}
}

/*
 * stderr may be a pipe that nobody reads.  A pipe that poll() calls writable
 * takes PIPE_BUF bytes without blocking (pipe(7)), so a line is at most that.
 */
static void
echo(struct logbook *logbook, const struct logline *line)
{
	struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
	struct buf *out = &logbook->scratch;

	buf_reset(out, KEEP_BYTES);
	logline_human(out, line, logbook->colour, PIPE_BUF);
	if (poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0 ||
	    write(STDERR_FILENO, out->p, out->n) != (ssize_t)out->n)
		logbook->stats.echo_dropped++;
}

void
logbook_write(struct logbook *logbook, enum log_level level,
    const char *function, uint32_t version, const char *request_id,
    struct slice message, struct slice fields)
{
	struct logline line = {.wall_ms = clock_wall_ms(),
	    .level = level,
	    .function = function,
	    .version = version,
	    .request_id = request_id,
	    .message = message,
	    .fields = fields};
	struct slice json;

	if (logbook->echo == LOGBOOK_ALL ||
	    (logbook->echo == LOGBOOK_PLATFORM && function == NULL))
		echo(logbook, &line);
	buf_reset(&logbook->scratch, KEEP_BYTES);
	logbook->stats.cut += logline_json(&logbook->scratch, &line);
	logbook->stats.lines++;
	json = buf_slice(&logbook->scratch);
	keep(logbook, function, json);
	to_file(logbook, json);
	tell_followers(logbook, function, json);
}

void
logbook_note(struct logbook *logbook, enum log_level level, const char *fmt,
    ...)
{
	char text[NOTE_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	logbook_write(logbook, level, NULL, 0, NULL, slice_of(text),
	    (struct slice){0});
}

static bool
is_of(const struct kept *kept, const char *function)
{
	return function == NULL ||
	    (!kept->platform && strcmp(kept->function, function) == 0);
}

void
logbook_tail(const struct logbook *logbook, const char *function, size_t lines,
    void (*each)(struct slice line, void *arg), void *arg)
{
	const struct kept *kept = TAILQ_LAST(&logbook->kept, kept_list);
	const struct kept *first = NULL;
	size_t n = 0;

	for (; kept != NULL && n < lines;
	     kept = TAILQ_PREV(kept, kept_list, entries))
		if (is_of(kept, function)) {
			first = kept;
			n++;
		}
	for (; first != NULL; first = TAILQ_NEXT(first, entries))
		if (is_of(first, function))
			each(slice_from(first->text, first->n), arg);
}

struct logbook_follower *
logbook_follow(struct logbook *logbook, const char *function,
    void (*on_line)(struct slice line, void *arg), void *arg)
{
	struct logbook_follower *follower = must(calloc(1, sizeof(*follower)));

	follower->logbook = logbook;
	if (function != NULL)
		follower->function = slice_dup(slice_of(function));
	follower->on_line = on_line;
	follower->arg = arg;
	TAILQ_INSERT_TAIL(&logbook->followers, follower, entries);
	return follower;
}

void
logbook_unfollow(struct logbook_follower *follower)
{
	if (follower == NULL)
		return;
	if (follower->logbook->following)
		follower->dead = true;
	else
		follower_free(follower);
}

void
logbook_stats(const struct logbook *logbook, struct logbook_stats *stats_out)
{
	*stats_out = logbook->stats;
}

void
logbook_flush(struct logbook *logbook, void (*done)(void *arg), void *arg)
{
	struct flush *flush;

	if (!logbook->busy) {
		loop_defer(logbook->loop, done, arg);
		return;
	}
	flush = must(calloc(1, sizeof(*flush)));
	flush->batch = logbook->begun + (logbook->waiting.lines.n > 0);
	flush->done = done;
	flush->arg = arg;
	TAILQ_INSERT_TAIL(&logbook->flushes, flush, entries);
}

static void
logbook_destroy(struct logbook *logbook)
{
	struct kept *kept;

	if (logbook->waiting.lines.n > 0) {
		take_waiting(logbook);
		run_batch(logbook);
	}
	finish_flushes(logbook);
	while ((kept = TAILQ_FIRST(&logbook->kept)) != NULL) {
		TAILQ_REMOVE(&logbook->kept, kept, entries);
		free(kept);
	}
	logfile_close(&logbook->file);
	buf_fini(&logbook->waiting.lines);
	buf_fini(&logbook->under_way.lines);
	buf_fini(&logbook->scratch);
	free(logbook);
}

void
logbook_close(struct logbook *logbook)
{
	if (logbook == NULL)
		return;
	logbook->closing = true;
	while (!TAILQ_EMPTY(&logbook->followers))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		follower_free(TAILQ_FIRST(&logbook->followers));
	if (!logbook->busy)
		logbook_destroy(logbook);
}
