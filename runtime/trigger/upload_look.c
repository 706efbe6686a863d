/*
 * upload_look.c - is a file still what it was, and is it complete?
 *
 * Runs in: gateway.
 * Owns:    the job that runs.
 *
 * How long a file must have been unchanged depends on what is known:
 *
 *	settle_ms    an event said that it was closed or renamed in, or the
 *		     kernel says that nobody has it open for writing
 *	unclosed_ms  a scan found it and the kernel does not say
 *	held_ms	     somebody has it open for writing (or just created it)
 *
 * The kernel tells by a read lease (fcntl(2), F_SETLEASE), which it grants
 * only while nobody has the file open for writing, and only to the file's
 * owner; it is given back at once.  Should somebody open the file in between,
 * he waits for those microseconds, and the signal about it is one that is
 * ignored by default.
 *
 * Looking is done on a helper thread.
 */
#include "runtime/hostcall/below.h"
#include "runtime/loop/loop.h"
#include "runtime/trigger/upload_priv.h"
#include "sandbox/base/cleanup.h"
#include "sandbox/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#define BATCH 256

struct look {
	struct upload_file *file; /* the job reads its path only */
	int error;
	struct upload_sig sig;
	uint64_t age_us; /* since the inode changed, by the wall clock */
	int writers;	 /* 1: some, 0: none, -1: unknown */
};

struct look_job {
	struct uploads *uploads;
	int rootfd;
	size_t n;
	struct look looks[BATCH];
};

/* --- what stat says ----------------------------------------------------- */

static int64_t
ns(struct timespec ts)
{
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void
upload_sig_of(struct upload_sig *sig, const struct stat *st)
{
	*sig = (struct upload_sig){
	    .dev = st->st_dev,
	    .ino = st->st_ino,
	    .size = (uint64_t)st->st_size,
	    .mtime_ns = ns(st->st_mtim),
	    .ctime_ns = ns(st->st_ctim),
	    .mode = st->st_mode,
	    .links = (uint32_t)st->st_nlink,
	};
}

bool
upload_sig_same(const struct upload_sig *a, const struct upload_sig *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	    a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns &&
	    a->mode == b->mode;
}

/* --- the half that blocks ----------------------------------------------- */

static int
writers(int fd)
{
	if (fcntl(fd, F_SETSIG, SIGURG) < 0)
		return -1;
	if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
		return errno == EAGAIN ? 1 : -1;
	(void)fcntl(fd, F_SETLEASE, F_UNLCK);
	return 0;
}

static uint64_t
age_us(const struct upload_sig *sig)
{
	struct timespec now;
	int64_t age;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	age = ns(now) - sig->ctime_ns;
	return age < 0 ? 0 : (uint64_t)age / 1000;
}

static void
look_at(struct look *look, int rootfd)
{
	auto_close int fd =
	    below_open(rootfd, look->file->path, O_PATH | O_NOFOLLOW, 0);
	auto_close int open = -1;
	struct stat st;

	look->writers = -1;
	if (fd < 0 || fstat(fd, &st) < 0) {
		look->error = errno;
		return;
	}
	upload_sig_of(&look->sig, &st);
	look->age_us = age_us(&look->sig);
	if (!S_ISREG(st.st_mode))
		return;
	open = below_open(rootfd, look->file->path,
	    O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (open < 0)
		look->error = errno;
	else
		look->writers = writers(open);
}

static void
run(void *arg)
{
	struct look_job *job = arg;

	for (size_t i = 0; i < job->n; i++)
		look_at(&job->looks[i], job->rootfd);
}

/* --- deciding ----------------------------------------------------------- */

static void
refuse(struct upload_file *file, const char *why)
{
	struct uploads *uploads = file->uploads;

	file->closed = false;
	file->created = false;
	file->matched = upload_matched(uploads, file->path);
	upload_refuse(uploads, file->path, why);
	upload_file_known(file);
}

/* Why it can never be an event as it is; NULL: it can. */
static const char *
fault(const struct upload_file *file, const struct look *look, char why[96])
{
	uint64_t max = file->uploads->config.max_file_bytes;

	if (S_ISLNK(look->sig.mode))
		return "a symbolic link; copy or hard-link the file itself";
	if (!S_ISREG(look->sig.mode))
		return "not a regular file";
	if (!below_printable(slice_of(file->path)))
		return "its name is not UTF-8 or has control characters";
	if (look->error != 0) {
		(void)snprintf(why, 96, "it cannot be read: %s",
		    strerror(look->error));
		return why;
	}
	if (look->sig.size <= max)
		return NULL;
	(void)snprintf(why, 96, "larger than %llu bytes",
	    (unsigned long long)max);
	return why;
}

static uint32_t
quiet_ms(const struct upload_file *file, const struct look *look)
{
	const struct upload_config *config = &file->uploads->config;

	if (!S_ISREG(look->sig.mode) || look->error != 0)
		return config->settle_ms;
	if (look->writers == 1)
		return config->held_ms;
	if (look->writers == 0 || file->closed || look->sig.links > 1)
		return config->settle_ms;
	return file->created ? config->held_ms : config->unclosed_ms;
}

/* How long the file has been what it is now. */
static uint64_t
unchanged_us(struct upload_file *file, const struct look *look)
{
	uint64_t now_us = clock_mono_us();

	if (!upload_sig_same(&file->sig, &look->sig)) {
		file->sig = look->sig;
		file->since_us = now_us;
	}
	return look->age_us > now_us - file->since_us ? look->age_us
						      : now_us - file->since_us;
}

/* Look again when it may be long enough, but now and then before. */
static void
wait_more(struct upload_file *file, uint64_t need_us, uint64_t had_us)
{
	const struct upload_config *config = &file->uploads->config;
	uint64_t ms = (need_us - had_us) / MS_US + 1;

	if (ms > config->unclosed_ms)
		ms = config->unclosed_ms;
	upload_file_again(file, (uint32_t)ms);
}

static void
decide(struct upload_file *file, const struct look *look)
{
	uint64_t need_us = (uint64_t)quiet_ms(file, look) * MS_US;
	uint64_t had_us = unchanged_us(file, look);
	const char *why;
	char text[96];

	if (had_us < need_us) {
		wait_more(file, need_us, had_us);
		return;
	}
	why = fault(file, look, text);
	if (why != NULL) {
		refuse(file, why);
		return;
	}
	file->closed = false;
	file->created = false;
	upload_version_ask(file);
}

static bool
is_gone(const struct look *look)
{
	return look->error == ENOENT || look->error == ENOTDIR ||
	    look->error == ELOOP || S_ISDIR(look->sig.mode);
}

static void
answer(struct upload_file *file, const struct look *look)
{
	struct uploads *uploads = file->uploads;

	if (file->again) {
		upload_file_again(file, uploads->config.settle_ms);
	} else if (is_gone(look) || upload_matched(uploads, file->path) == 0) {
		upload_file_gone(file);
	} else if (look->error == EWOULDBLOCK) { /* another one's lease */
		upload_file_again(file, uploads->config.unclosed_ms);
	} else if (look->error != 0 && look->error != EACCES &&
	    look->error != EPERM) {
		upload_trouble(uploads, "looking at an upload", look->error);
		upload_file_again(file, uploads->config.trouble_ms);
	} else {
		decide(file, look);
	}
}

static void
done(void *arg)
{
	struct look_job *job = arg;
	struct uploads *uploads = job->uploads;

	if (uploads_worked(uploads)) {
		for (size_t i = 0; i < job->n; i++)
			answer(job->looks[i].file, &job->looks[i]);
		uploads_work(uploads);
	}
	free(job);
}

bool
upload_look_begin(struct uploads *uploads)
{
	struct upload_file *file;
	struct look_job *job;

	if (TAILQ_EMPTY(&uploads->to_look))
		return false;
	job = upload_alloc(sizeof(*job));
	job->uploads = uploads;
	job->rootfd = uploads->rootfd;
	while (
	    job->n < BATCH && (file = TAILQ_FIRST(&uploads->to_look)) != NULL) {
		TAILQ_REMOVE(&uploads->to_look, file, queue);
		file->state = UPLOAD_FILE_LOOKING;
		job->looks[job->n++].file = file;
	}
	loop_work(uploads->loop, run, done, job);
	return true;
}
