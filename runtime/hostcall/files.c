/*
 * files.c - see files.h.
 *
 * Runs in: gateway.
 * Owns:    the queue of calls.
 *
 * The struct stays until the job that runs is over, also when it was freed
 * meanwhile; whoever comes last puts the uncommitted outputs away.
 */
#include "runtime/hostcall/files.h"

#include "runtime/hostcall/files_priv.h"
#include "runtime/loop/loop.h"
#include "sandbox/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>

#define MAX_OUTPUTS	 64
#define MAX_OUTPUT_BYTES 268435456

enum op_kind { OP_READ, OP_WRITE, OP_COMMIT };

struct op {
	TAILQ_ENTRY(op) link;
	struct files *files;
	enum op_kind kind;
	uint64_t offset;
	uint32_t bytes;
	struct buf data; /* to write, or what was read */
	char reason[REASON_MAX];
	void (*on_data)(struct slice data, const char *reason, void *arg);
	files_done_fn done;
	void *arg;
	char name[FILES_NAME_MAX + 1];
};

struct files {
	struct loop *loop;
	int content_fd;
	struct outputs outputs;
	struct files_limits limits;
	uint64_t output_bytes; /* promised so far */
	TAILQ_HEAD(, op) queue;
	uint32_t queued;
	struct op *running;
	atomic_bool closed; /* files_free() was called */
};

static int
dup_fd(int fd)
{
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

struct files *
files_new(struct loop *loop, int content_fd, int output_fd,
    const struct files_limits *limits)
{
	struct files *files = calloc(1, sizeof(*files));

	if (files == NULL)
		abort();
	files->loop = loop;
	files->limits = limits != NULL
	    ? *limits
	    : (struct files_limits){MAX_OUTPUTS, MAX_OUTPUT_BYTES};
	files->content_fd = dup_fd(content_fd);
	files->outputs.dirfd = dup_fd(output_fd);
	files->outputs.max = files->limits.max_outputs;
	TAILQ_INIT(&files->outputs.list);
	TAILQ_INIT(&files->queue);
	return files;
}

static void
op_free(struct op *op)
{
	buf_fini(&op->data);
	free(op);
}

/* --- the half that blocks ----------------------------------------------- */

static void
read_content(struct op *op)
{
	char *room = buf_room(&op->data, op->bytes);
	ssize_t n;

	if (op->offset > INT64_MAX - FILES_READ_MAX)
		return; /* behind the end of any file */
	do
		n = pread(op->files->content_fd, room, op->bytes,
		    (off_t)op->offset);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		(void)snprintf(op->reason, REASON_MAX, "reading failed: %s",
		    strerror(errno));
	else
		op->data.n = (size_t)n;
}

static void
op_run(void *arg)
{
	struct op *op = arg;
	struct files *files = op->files;

	if (op->kind == OP_READ)
		read_content(op);
	else if (op->kind == OP_WRITE)
		outputs_write(&files->outputs, op->name, buf_slice(&op->data),
		    op->reason);
	else
		outputs_commit(&files->outputs, op->name, op->reason);
	if (atomic_load(&files->closed))
		outputs_drop(&files->outputs);
}

/* --- the queue ---------------------------------------------------------- */

static void
last_run(void *arg)
{
	struct files *files = arg;

	outputs_drop(&files->outputs);
}

static void
last_done(void *arg)
{
	struct files *files = arg;

	if (files->content_fd >= 0)
		(void)close(files->content_fd);
	if (files->outputs.dirfd >= 0)
		(void)close(files->outputs.dirfd);
	free(files);
}

static void op_done(void *arg);

static void
next(struct files *files)
{
	struct op *op = TAILQ_FIRST(&files->queue);

	if (op == NULL || files->running != NULL)
		return;
	TAILQ_REMOVE(&files->queue, op, link);
	files->queued--;
	files->running = op;
	loop_work(files->loop, op_run, op_done, op);
}

static void
tell(const struct op *op)
{
	const char *reason = op->reason[0] == '\0' ? NULL : op->reason;

	if (op->kind == OP_READ)
		op->on_data(buf_slice(&op->data), reason, op->arg);
	else
		op->done(reason, op->arg);
}

static void
op_done(void *arg)
{
	struct op *op = arg;
	struct files *files = op->files;

	/* While it is `running`, files_free() leaves the struct to us. */
	if (!atomic_load(&files->closed))
		tell(op);
	op_free(op);
	files->running = NULL;
	if (!atomic_load(&files->closed)) {
		next(files);
		return;
	}
	outputs_drop(&files->outputs); /* mostly op_run did */
	last_done(files);
}

static void
submit(struct files *files, const struct op *what, struct slice data)
{
	struct op *op = malloc(sizeof(*op));

	if (op == NULL)
		abort();
	*op = *what;
	op->files = files;
	buf_add_slice(&op->data, data);
	TAILQ_INSERT_TAIL(&files->queue, op, link);
	files->queued++;
	next(files);
}

void
files_free(struct files *files)
{
	struct op *op;

	if (files == NULL)
		return;
	while ((op = TAILQ_FIRST(&files->queue)) != NULL) {
		TAILQ_REMOVE(&files->queue, op, link);
		op_free(op);
	}
	atomic_store(&files->closed, true);
	if (files->running == NULL)
		loop_work(files->loop, last_run, last_done, files);
}

/* --- calls -------------------------------------------------------------- */

static const char *
refusal(const struct files *files, bool writes)
{
	if (files->content_fd < 0)
		return "this request has no files: only upload events do";
	if (writes && files->outputs.dirfd < 0)
		return "the trigger has no output folder: name one in the "
		       "manifest (\"output\")";
	if (files->queued >= FILES_QUEUE_MAX)
		return "too many file calls at once";
	return NULL;
}

void
files_read(struct files *files, uint64_t offset, uint32_t bytes,
    void (*done)(struct slice data, const char *reason, void *arg), void *arg)
{
	const char *reason = refusal(files, false);

	if (reason != NULL) {
		done((struct slice){NULL, 0}, reason, arg);
		return;
	}
	submit(files,
	    &(struct op){.kind = OP_READ,
		.offset = offset,
		.bytes = bytes > FILES_READ_MAX ? FILES_READ_MAX : bytes,
		.on_data = done,
		.arg = arg},
	    (struct slice){NULL, 0});
}

/* Whether the bytes may be written; then they are counted. */
static const char *
take_bytes(struct files *files, size_t n)
{
	if (n > FILES_READ_MAX)
		return "more than 1048576 bytes in one write";
	if (n > files->limits.max_output_bytes - files->output_bytes)
		return "the outputs of this invocation are over their limit";
	files->output_bytes += n;
	return NULL;
}

static void
submit_output(struct files *files, enum op_kind kind, struct slice name,
    struct slice bytes, files_done_fn done, void *arg)
{
	const char *reason = refusal(files, true);
	struct op op = {.kind = kind, .done = done, .arg = arg};

	if (reason == NULL && !outputs_name_valid(name, op.reason))
		reason = op.reason;
	if (reason == NULL)
		reason = take_bytes(files, bytes.n);
	if (reason != NULL) {
		done(reason, arg);
		return;
	}
	(void)slice_copy(op.name, sizeof(op.name), name);
	submit(files, &op, bytes);
}

void
files_write(struct files *files, struct slice name, struct slice bytes,
    files_done_fn done, void *arg)
{
	submit_output(files, OP_WRITE, name, bytes, done, arg);
}

void
files_commit(struct files *files, struct slice name, files_done_fn done,
    void *arg)
{
	submit_output(files, OP_COMMIT, name, (struct slice){NULL, 0}, done,
	    arg);
}
