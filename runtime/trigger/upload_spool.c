/*
 * upload_spool.c - copy settled files into the spool, hashing them on the way.
 *
 * Runs in: gateway.
 * Owns:    the job that runs; the files of the spool (state/spool).
 *
 * The content of an event is SHA256-CTIME-KEY, in hex digits: no two events
 * share a file, and the sweep finds an event by the name.  A batch of files is
 * copied, then synced file by file, then the folder: one commit of the file
 * system's journal takes most of them.  Nothing is accepted before that.
 *
 * Copying is done on a helper thread.
 */
#include "runtime/hostcall/below.h"
#include "runtime/loop/loop.h"
#include "runtime/trigger/upload_priv.h"
#include "sandbox/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BATCH	    64
#define BATCH_BYTES 67108864
#define COPY_BYTES  262144

struct copy {
	struct upload_file *file; /* the job: path, sig, wants, sha only */
	int temp;
	int error; /* ESTALE: it is not what it was */
};

struct spool_job {
	struct uploads *uploads;
	int rootfd;
	int spoolfd;
	const atomic_bool *cancel;
	size_t n;
	struct copy copies[BATCH];
	unsigned char buffer[COPY_BYTES];
};

/* --- names -------------------------------------------------------------- */

void
upload_blob_name(char blob[BLOB_MAX], const char *sha, int64_t ctime_ns,
    const char *key)
{
	(void)snprintf(blob, BLOB_MAX, "%.64s-%016llx-%.64s", sha,
	    (unsigned long long)ctime_ns, key + 7);
}

static bool
is_hex(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((p[i] < '0' || p[i] > '9') && (p[i] < 'a' || p[i] > 'f'))
			return false;
	return true;
}

bool
upload_blob_parse(struct slice blob, char sha[SHA_MAX], int64_t *ctime_ns_out,
    char key[KEY_MAX])
{
	char number[17];

	if (blob.n != 64 + 1 + 16 + 1 + 64 || blob.p[64] != '-' ||
	    blob.p[81] != '-' || !is_hex(blob.p, 64) ||
	    !is_hex(blob.p + 65, 16) || !is_hex(blob.p + 82, 64))
		return false;
	(void)slice_copy(sha, SHA_MAX, slice_from(blob.p, 64));
	(void)slice_copy(number, sizeof(number), slice_from(blob.p + 65, 16));
	*ctime_ns_out = (int64_t)strtoull(number, NULL, 16);
	(void)snprintf(key, KEY_MAX, "upload:%.64s", blob.p + 82);
	return true;
}

static void
temp_name(char name[32], size_t i)
{
	(void)snprintf(name, 32, ".copying-%zu", i);
}

/* --- the half that blocks ----------------------------------------------- */

static int
write_all(int fd, const unsigned char *p, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -1;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

/* Copy what there is, but never more than the file should have. */
static int
copy_bytes(struct spool_job *job, int from, int to, EVP_MD_CTX *md,
    uint64_t size)
{
	uint64_t copied = 0;
	ssize_t n = 1;

	while (n > 0 && copied <= size) {
		if (atomic_load(job->cancel)) {
			errno = ESTALE;
			return -1;
		}
		n = read(from, job->buffer, COPY_BYTES);
		if (n < 0 && errno != EINTR)
			return -1;
		if (n <= 0)
			continue;
		copied += (uint64_t)n;
		if (EVP_DigestUpdate(md, job->buffer, (size_t)n) != 1)
			abort();
		if (write_all(to, job->buffer, (size_t)n) < 0)
			return -1;
	}
	if (copied == size)
		return 0;
	errno = ESTALE;
	return -1;
}

static int
hash_copy(struct spool_job *job, int from, int to, uint64_t size,
    char sha[SHA_MAX])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int bytes = 0;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	int result;

	if (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		abort();
	result = copy_bytes(job, from, to, md, size);
	if (EVP_DigestFinal_ex(md, digest, &bytes) != 1)
		abort();
	for (unsigned int i = 0; i < bytes; i++)
		(void)snprintf(sha + (size_t)2 * i, 3, "%02x", digest[i]);
	EVP_MD_CTX_free(md);
	return result;
}

/* Is the open file the version that settled? */
static int
same_version(int fd, const struct upload_file *file)
{
	struct upload_sig sig;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	upload_sig_of(&sig, &st);
	if (upload_sig_same(&sig, &file->sig))
		return 0;
	errno = ESTALE;
	return -1;
}

static int
copy_file(struct spool_job *job, struct copy *copy, size_t i)
{
	auto_close int from = below_open(job->rootfd, copy->file->path,
	    O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	char name[32];

	if (from < 0 || same_version(from, copy->file) < 0) {
		errno = ESTALE; /* looking at it again will tell */
		return -1;
	}
	temp_name(name, i);
	copy->temp = openat(job->spoolfd, name,
	    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (copy->temp < 0 ||
	    hash_copy(job, from, copy->temp, copy->file->sig.size,
		copy->file->sha) < 0)
		return -1;
	return same_version(from, copy->file);
}

/* Give the copy the name of every event that it is for. */
static int
name_copy(const struct spool_job *job, struct upload_file *file,
    const char *temp)
{
	for (size_t i = 0; i < file->nwants; i++) {
		struct upload_want *want = &file->wants[i];

		want->blob[0] = '\0';
		if (strcmp(want->before, file->sha) == 0)
			continue; /* touched, not changed */
		upload_blob_name(want->blob, file->sha, file->sig.ctime_ns,
		    want->key);
		if (linkat(job->spoolfd, temp, job->spoolfd, want->blob, 0) <
			0 &&
		    errno != EEXIST)
			return -1;
	}
	return 0;
}

static void
finish_copy(struct spool_job *job, struct copy *copy, size_t i)
{
	char name[32];

	temp_name(name, i);
	if (copy->error == 0 &&
	    (fsync(copy->temp) < 0 || name_copy(job, copy->file, name) < 0))
		copy->error = errno;
	if (copy->temp < 0)
		return;
	(void)close(copy->temp);
	(void)unlinkat(job->spoolfd, name, 0);
}

static void
run(void *arg)
{
	struct spool_job *job = arg;
	int error;

	for (size_t i = 0; i < job->n; i++)
		if (copy_file(job, &job->copies[i], i) < 0)
			job->copies[i].error = errno;
	for (size_t i = 0; i < job->n; i++)
		finish_copy(job, &job->copies[i], i);
	error = fsync(job->spoolfd) < 0 ? errno : 0;
	for (size_t i = 0; i < job->n && error != 0; i++)
		job->copies[i].error = error;
}

/* --- the job ------------------------------------------------------------ */

/* Bytes of the spool that the file takes, at most: one content per event. */
static uint64_t
bytes_for(const struct upload_file *file)
{
	return file->sig.size * file->nwants;
}

static void
answer(struct uploads *uploads, const struct copy *copy)
{
	struct upload_file *file = copy->file;

	if (copy->error == 0) {
		upload_well(uploads);
		upload_version_accept(file);
		return;
	}
	upload_spool_release(uploads, bytes_for(file));
	if (copy->error == ESTALE) {
		upload_file_again(file, uploads->config.settle_ms);
		return;
	}
	upload_trouble(uploads, "spooling an upload", copy->error);
	upload_file_again(file, uploads->config.trouble_ms);
}

static void
done(void *arg)
{
	struct spool_job *job = arg;
	struct uploads *uploads = job->uploads;

	if (uploads_worked(uploads)) {
		for (size_t i = 0; i < job->n; i++)
			answer(uploads, &job->copies[i]);
		uploads_work(uploads);
	}
	free(job);
}

static bool
has_room(const struct uploads *uploads, const struct upload_file *file)
{
	return uploads->spool_bytes + bytes_for(file) <=
	    uploads->config.max_spool_bytes;
}

/* Say so and try again later, then with the next one first: a file that is
 * too large does not keep the small ones out. */
static void
wait_for_room(struct uploads *uploads, struct upload_file *file)
{
	if (uploads->trouble != EDQUOT)
		upload_note(uploads, NULL,
		    "the spool is full (%llu bytes): new files wait",
		    (unsigned long long)uploads->config.max_spool_bytes);
	uploads->trouble = EDQUOT;
	TAILQ_REMOVE(&uploads->to_spool, file, queue);
	TAILQ_INSERT_TAIL(&uploads->to_spool, file, queue);
	uploads->waiting = true;
	loop_timer_start(uploads->work_timer,
	    (uint64_t)uploads->config.trouble_ms * MS_US);
}

bool
upload_spool_begin(struct uploads *uploads)
{
	struct upload_file *file = TAILQ_FIRST(&uploads->to_spool);
	struct spool_job *job;
	uint64_t bytes = 0;

	if (file == NULL || uploads->waiting)
		return false;
	if (!has_room(uploads, file)) {
		wait_for_room(uploads, file);
		return false;
	}
	job = upload_alloc(sizeof(*job));
	job->uploads = uploads;
	job->rootfd = uploads->rootfd;
	job->spoolfd = uploads->spoolfd;
	job->cancel = &uploads->cancel;
	do {
		TAILQ_REMOVE(&uploads->to_spool, file, queue);
		file->state = UPLOAD_FILE_COPYING;
		bytes += file->sig.size;
		uploads->spool_bytes += bytes_for(file);
		job->copies[job->n++] = (struct copy){.file = file, .temp = -1};
		file = TAILQ_FIRST(&uploads->to_spool);
	} while (file != NULL && job->n < BATCH && bytes < BATCH_BYTES &&
	    has_room(uploads, file));
	loop_work(uploads->loop, run, done, job);
	return true;
}

/* --- removing ----------------------------------------------------------- */

struct removal {
	struct uploads *uploads;
	int spoolfd;
	char blob[BLOB_MAX];
};

static void
remove_run(void *arg)
{
	const struct removal *removal = arg;

	(void)unlinkat(removal->spoolfd, removal->blob, 0);
}

static void
remove_done(void *arg)
{
	struct removal *removal = arg;

	(void)upload_unref(removal->uploads);
	free(removal);
}

void
upload_spool_release(struct uploads *uploads, uint64_t bytes)
{
	uploads->spool_bytes -=
	    bytes < uploads->spool_bytes ? bytes : uploads->spool_bytes;
}

void
upload_spool_remove(struct uploads *uploads, const char *blob, uint64_t bytes)
{
	struct removal *removal = upload_alloc(sizeof(*removal));

	upload_spool_release(uploads, bytes);
	removal->uploads = upload_ref(uploads);
	removal->spoolfd = uploads->spoolfd;
	/* NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.strcpy) */
	(void)strcpy(removal->blob, blob);
	loop_work(uploads->loop, remove_run, remove_done, removal);
}
