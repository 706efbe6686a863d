/*
 * image.c - the heaps of functions, kept while there is room.
 *
 * Runs in: gateway, cli.
 * Owns:    the bytes of every image, as the frames that bring it to a worker.
 *
 * In order of use; what was used longest ago goes first when the cache is
 * over its limit, and the next start of that function is a build.
 */
#include "runtime/call/call_priv.h"

bool
image_ready(const struct function *function)
{
	return function->image.frames.n > 0 &&
	    function->image.generation ==
	    pool_generation(function->calls->pool);
}

static void
unlink_image(struct function *function)
{
	struct calls *calls = function->calls;
	struct image *image = &function->image;

	if (image->prev != NULL)
		image->prev->image.next = image->next;
	else
		calls->images_first = image->next;
	if (image->next != NULL)
		image->next->image.prev = image->prev;
	else
		calls->images_last = image->prev;
	image->next = image->prev = NULL;
}

static void
link_first(struct function *function)
{
	struct calls *calls = function->calls;
	struct image *image = &function->image;

	image->prev = NULL;
	image->next = calls->images_first;
	if (image->next != NULL)
		image->next->image.prev = function;
	else
		calls->images_last = function;
	calls->images_first = function;
}

void
image_drop(struct function *function)
{
	if (function->image.frames.n == 0)
		return;
	unlink_image(function);
	function->calls->stats.image_bytes -= function->image.heap_bytes;
	function->calls->stats.images--;
	buf_fini(&function->image.frames);
	function->image = (struct image){0};
}

void
image_evict(struct calls *calls)
{
	while (calls->stats.image_bytes > calls->limits.image_cache_bytes &&
	    calls->images_last != NULL) {
		image_drop(calls->images_last);
		calls->stats.images_evicted++;
	}
}

/* The frames that bring it to a worker. */
static void
add_frames(struct buf *out, const struct fn_version *version, const char *heap,
    size_t heap_bytes)
{
	size_t chunk = wire_max_bytes(WIRE_IMAGE_DATA);
	size_t begin = wire_add_begin(out, WIRE_IMAGE, 0);

	wire_add_str(out, slice_of(version->name));
	wire_add_u32(out, version->number);
	wire_add_u64(out, (uint64_t)version->manifest.memory_mb << 20);
	wire_add_u8(out, (uint8_t)version->manifest.heap);
	wire_add_u64(out, heap_bytes);
	wire_add_end(out, begin);
	for (size_t at = 0; at < heap_bytes; at += chunk) {
		size_t n = heap_bytes - at;

		begin = wire_add_begin(out, WIRE_IMAGE_DATA, 0);
		buf_add(out, heap + at, n < chunk ? n : chunk);
		wire_add_end(out, begin);
	}
}

void
image_keep(struct function *function, const char *heap, size_t heap_bytes)
{
	struct image *image = &function->image;

	image_drop(function);
	(void)buf_room(&image->frames, heap_bytes + 4096);
	add_frames(&image->frames, function->version, heap, heap_bytes);
	image->heap_bytes = heap_bytes;
	image->generation = pool_generation(function->calls->pool);
	function->calls->stats.image_bytes += heap_bytes;
	function->calls->stats.images++;
	link_first(function);
	image_evict(function->calls);
}

void
image_send(struct function *function, struct worker *worker)
{
	worker_write(worker, buf_slice(&function->image.frames));
	unlink_image(function);
	link_first(function);
}
