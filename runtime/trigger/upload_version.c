/*
 * upload_version.c - which version of a file is this, and who has not got it?
 *
 * Runs in: gateway.
 *
 * A version is (function, path, inode, size, mtime, generation); the key of
 * its event is the hash of these.  The generation is 0 but for content that
 * was changed behind an mtime and a size that were kept: an event's blob
 * names the content and the ctime of its version, so
 *
 *	no event of generation 0	      new
 *	an event with the file's ctime	      accepted already, nobody reads it
 *	only events with another ctime	      the file was touched: it is hashed,
 *					      and new if the content is not that
 *					      of the last generation
 */
#include "runtime/loop/loop.h"
#include "runtime/store/store.h"
#include "runtime/trigger/upload_priv.h"
#include "sandbox/base/clock.h"
#include "sandbox/base/err.h"

#include <assert.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

static void
make_key(char key[KEY_MAX], const struct upload_want *want,
    const struct upload_file *file)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	struct buf text = {0};

	buf_add(&text, want->function, strlen(want->function) + 1);
	buf_add(&text, file->path, strlen(file->path) + 1);
	buf_addf(&text, "%llu %llu %lld %u", (unsigned long long)file->sig.ino,
	    (unsigned long long)file->sig.size, (long long)file->sig.mtime_ns,
	    want->generation);
	(void)SHA256((const unsigned char *)text.p, text.n, digest);
	/* NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.strcpy) */
	(void)strcpy(key, "upload:");
	for (size_t i = 0; i < sizeof(digest); i++)
		(void)snprintf(key + 7 + 2 * i, 3, "%02x", digest[i]);
	buf_fini(&text);
}

static void
collect_wants(struct upload_file *file)
{
	struct uploads *uploads = file->uploads;
	const struct upload_func *func;

	free(file->wants);
	file->wants =
	    upload_alloc((uploads->funcs.n + 1) * sizeof(*file->wants));
	file->nwants = 0;
	for (size_t i = 0; (func = table_next(&uploads->funcs, &i)) != NULL;)
		if (upload_match(func, file->path) != NULL)
			/* NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.strcpy) */
			(void)strcpy(file->wants[file->nwants++].function,
			    func->name);
}

static void ask(struct upload_file *file);

static void
drop_want(struct upload_file *file)
{
	file->wants[file->asked] = file->wants[--file->nwants];
}

/* What the store has of this generation decides about the next question. */
static void
weigh(struct upload_file *file, const struct store_event *found)
{
	struct upload_want *want = &file->wants[file->asked];
	char key[KEY_MAX];
	int64_t ctime_ns;

	if (found == NULL) {
		file->asked++;
	} else if (!upload_blob_parse(found->blob, want->before, &ctime_ns,
		       key) ||
	    ctime_ns == file->sig.ctime_ns) {
		drop_want(file);
	} else if (++want->generation == GENERATIONS) {
		upload_refuse(file->uploads, file->path,
		    "its time was set back too often");
		drop_want(file);
	}
}

static void
on_found(const struct store_event *found, const struct err *err, void *arg)
{
	struct upload_file *file = arg;
	struct uploads *uploads = file->uploads;

	if (!upload_unref(uploads))
		return;
	if (err != NULL) {
		upload_store_trouble(uploads, err);
		upload_file_again(file, uploads->config.trouble_ms);
	} else {
		weigh(file, found);
		ask(file);
	}
	uploads_work(uploads);
}

static void
ask(struct upload_file *file)
{
	struct uploads *uploads = file->uploads;

	if (file->asked < file->nwants) {
		struct upload_want *want = &file->wants[file->asked];

		make_key(want->key, want, file);
		(void)upload_ref(uploads);
		store_find_event(uploads->store, slice_of(want->key), on_found,
		    file);
	} else if (file->nwants == 0) {
		upload_file_known(file);
	} else {
		file->state = UPLOAD_FILE_SETTLED;
		TAILQ_INSERT_TAIL(&uploads->to_spool, file, queue);
	}
}

void
upload_version_ask(struct upload_file *file)
{
	file->state = UPLOAD_FILE_ASKING;
	file->matched = upload_matched(file->uploads, file->path);
	file->asked = 0;
	file->fault = false;
	collect_wants(file);
	ask(file);
}

/* --- accepting ---------------------------------------------------------- */

/* One event on its way into the store. */
struct accept {
	struct uploads *uploads;
	struct upload_file *file;
	struct upload_func *func;
	struct buf json;
	char blob[BLOB_MAX];
};

static void
write_event(struct buf *out, const struct upload_file *file)
{
	const char *slash = strrchr(file->path, '/');
	struct buf path = {0};
	struct buf dir = {0};

	buf_addf(&path, "uploads/%s", file->path);
	buf_puts(&dir, "uploads/");
	buf_add(&dir, file->path, (size_t)(slash - file->path));
	buf_puts(out, "{\"type\":\"upload\",\"path\":");
	buf_json_string(out, buf_slice(&path));
	buf_puts(out, ",\"name\":");
	buf_json_string(out, slice_of(slash + 1));
	buf_addf(out, ",\"size\":%llu,\"mtime\":%lld,\"sha256\":\"%s\"",
	    (unsigned long long)file->sig.size,
	    (long long)(file->sig.mtime_ns / 1000000), file->sha);
	buf_puts(out, ",\"dir\":");
	buf_json_string(out, buf_slice(&dir));
	buf_putc(out, '}');
	buf_fini(&path);
	buf_fini(&dir);
}

static void
end_accept(struct upload_file *file)
{
	struct uploads *uploads = file->uploads;

	if (--file->pending > 0)
		return;
	if (file->fault)
		upload_file_again(file, uploads->config.trouble_ms);
	else
		upload_file_known(file);
}

static void
accept_free(struct accept *accept)
{
	buf_fini(&accept->json);
	free(accept);
}

static void
on_accepted(uint64_t id, const struct err *err, void *arg)
{
	struct accept *accept = arg;
	struct uploads *uploads = accept->uploads;
	struct upload_file *file = accept->file;

	if (!upload_unref(uploads)) {
		accept_free(accept);
		return;
	}
	if (err != NULL) {
		upload_store_trouble(uploads, err);
		file->fault = true;
	} else if (id != 0) {
		uploads->stats.accepted++;
		upload_queue_accepted(uploads, accept->func, id, file->path,
		    buf_slice(&accept->json), accept->blob, file->sig.size);
	}
	if (id == 0)
		upload_spool_release(uploads, file->sig.size);
	accept_free(accept);
	end_accept(file);
	uploads_work(uploads);
}

static void
accept_for(struct upload_file *file, const struct upload_want *want)
{
	struct uploads *uploads = file->uploads;
	struct accept *accept = upload_alloc(sizeof(*accept));
	struct buf note = {0};
	int64_t now_ms = clock_wall_ms();

	accept->uploads = upload_ref(uploads);
	accept->file = file;
	accept->func = table_find(&uploads->funcs, slice_of(want->function));
	/* NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.strcpy) */
	(void)strcpy(accept->blob, want->blob);
	write_event(&accept->json, file);
	buf_addf(&note, "uploads/%s", file->path);
	store_accept_event(uploads->store,
	    &(struct store_event){.key = slice_of(want->key),
		.function = slice_of(want->function),
		.source = SLICE("upload"),
		.event = buf_slice(&accept->json),
		.note = buf_slice(&note),
		.blob = slice_of(want->blob),
		.state = STORE_EVENT_ACCEPTED,
		.accepted_ms = now_ms,
		.run_at_ms = now_ms,
		.bytes = file->sig.size},
	    on_accepted, accept);
	buf_fini(&note);
}

void
upload_version_accept(struct upload_file *file)
{
	file->state = UPLOAD_FILE_ACCEPTING;
	file->pending = 1; /* ours */
	for (size_t i = 0; i < file->nwants; i++) {
		if (file->wants[i].blob[0] == '\0') {
			upload_spool_release(file->uploads, file->sig.size);
			continue;
		}
		file->pending++;
		accept_for(file, &file->wants[i]);
	}
	end_accept(file);
}
