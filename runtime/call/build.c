/*
 * build.c - run a version's init in a jailed worker and take its heap.
 *
 * Runs in: gateway, cli.
 * Owns:    a struct build from BUILD until the heap is there or it failed.
 *
 * The worker's clock starts when BUILD is written.  Heap bytes are counted
 * against what BUILT announced, and that against the memory limit.
 */
#include "runtime/call/call_priv.h"
#include "sandbox/base/clock.h"

#include <stdio.h>
#include <stdlib.h>

struct build {
	struct function *function;
	struct worker *worker;
	struct loop_timer *timer;
	uint64_t began_us;
	bool out_of_time;
	bool built;
	char *heap;
	size_t heap_bytes; /* announced */
	size_t got_bytes;
	uint64_t log_bytes;
	uint32_t frames;
	build_done_fn done;
	void *arg;
};

void
build_free(struct build *build)
{
	if (build == NULL)
		return;
	loop_timer_free(build->timer);
	free(build->heap);
	free(build);
}

static void
end(struct build *build, const char *error, bool platform)
{
	struct worker *worker = build->worker;
	struct function *function = build->function;
	struct tenure *tenure = tenure_of(worker);

	worker->state = WIRE_IDLE;
	tenure->build = NULL;
	tenure->init_us = clock_mono_us() - build->began_us;
	if (error != NULL)
		function->calls->stats.build_failures++;
	else
		function->calls->stats.builds++;
	build->done(function, worker, error, platform, build->arg);
	build_free(build);
}

static void
on_timer(void *arg)
{
	struct build *build = arg;

	if (build->out_of_time) {
		worker_kill(build->worker);
		return;
	}
	build->out_of_time = true;
	worker_interrupt(build->worker);
	loop_timer_start(build->timer,
	    build->function->calls->limits.kill_grace_ms * 1000);
}

static void
send_build(const struct build *build)
{
	const struct fn_version *version = build->function->version;
	const struct fn_manifest *manifest = &version->manifest;
	struct buf *out = worker_out(build->worker);
	size_t begin = wire_add_begin(out, WIRE_BUILD, 0);

	wire_add_str(out, slice_of(version->name));
	wire_add_u32(out, version->number);
	wire_add_u64(out, (uint64_t)manifest->memory_mb << 20);
	wire_add_u8(out, (uint8_t)manifest->heap);
	buf_add(out, calls_seed(build->function->calls), WIRE_SEED_BYTES);
	wire_add_u64(out, (uint64_t)clock_wall_ms());
	wire_add_u64(out, clock_mono_us());
	wire_add_u32(out, (uint32_t)manifest->nenv);
	for (size_t i = 0; i < manifest->nenv; i++) {
		wire_add_str(out, slice_of(manifest->env[i].name));
		wire_add_str(out, slice_of(manifest->env[i].value));
	}
	wire_add_u32(out, (uint32_t)version->nmodules);
	for (size_t i = 0; i < version->nmodules; i++) {
		wire_add_str(out, slice_of(version->modules[i].name));
		wire_add_str(out,
		    slice_from(version->modules[i].source,
			version->modules[i].source_bytes));
	}
	wire_add_end(out, begin);
}

void
build_start(struct function *function, struct worker *worker,
    build_done_fn done, void *arg)
{
	struct build *build = calloc(1, sizeof(*build));

	if (build == NULL)
		abort();
	build->function = function;
	build->worker = worker;
	build->done = done;
	build->arg = arg;
	tenure_of(worker)->build = build;
	build->timer = loop_timer_new(function->calls->loop, on_timer, build);
	loop_timer_start(build->timer,
	    function->calls->limits.init_timeout_ms * 1000);
	worker->state = WIRE_BUILDING;
	build->began_us = clock_mono_us();
	send_build(build);
	worker_flush(worker);
}

static void
on_heap(struct build *build, struct slice body)
{
	if (!build->built || body.n == 0 ||
	    body.n > build->heap_bytes - build->got_bytes) {
		worker_breach(build->worker, "more heap than announced");
		return;
	}
	memcpy(build->heap + build->got_bytes, body.p, body.n);
	build->got_bytes += body.n;
	if (build->got_bytes < build->heap_bytes)
		return;
	image_keep(build->function, build->heap, build->heap_bytes);
	end(build, NULL, false);
}

static void
on_built(struct build *build, struct wire_reader *r)
{
	uint64_t heap_bytes = wire_get_u64(r);
	uint64_t peak = wire_get_u64(r);
	uint64_t limit = (uint64_t)build->function->version->manifest.memory_mb
	    << 20;

	if (!wire_got_all(r) || build->built || heap_bytes == 0 ||
	    heap_bytes > limit || peak > limit) {
		worker_breach(build->worker, "BUILT that cannot be");
		return;
	}
	build->built = true;
	build->heap_bytes = heap_bytes;
	build->heap = malloc(heap_bytes);
	if (build->heap == NULL)
		worker_breach(build->worker, "no memory for the heap");
}

static void
on_failed(struct build *build, struct wire_reader *r)
{
	uint8_t why = wire_get_u8(r);
	uint64_t peak = wire_get_u64(r);
	struct slice message = wire_get_str(r);
	struct slice traceback = wire_get_str(r);
	struct buf text = {0};

	if (!wire_got_all(r) || peak == 0 ||
	    peak > build->worker->memory_bytes || why < WIRE_FAIL_ERROR ||
	    why > WIRE_FAIL_LOAD ||
	    (why == WIRE_FAIL_TIMEOUT && !build->out_of_time)) {
		worker_breach(build->worker, "FAILED that cannot be read");
		return;
	}
	if (why == WIRE_FAIL_TIMEOUT)
		buf_addf(&text, "the init (top level) ran longer than %llu ms",
		    (unsigned long long)
			build->function->calls->limits.init_timeout_ms);
	else if (why == WIRE_FAIL_MEMORY)
		buf_addf(&text, "the init needs more than memory_mb = %u",
		    build->function->version->manifest.memory_mb);
	else
		buf_add_slice(&text, message);
	if (why == WIRE_FAIL_TIMEOUT && traceback.n > 0) {
		buf_puts(&text, "\n");
		buf_add_slice(&text, traceback);
	}
	buf_putc(&text, '\0');
	end(build, text.p, false);
	buf_fini(&text);
}

static void
on_log(struct build *build, struct wire_reader *r)
{
	struct calls *calls = build->function->calls;
	uint8_t level = wire_get_u8(r);
	struct slice text = wire_get_str(r);
	struct slice fields = wire_get_str(r);

	if (!wire_got_all(r) || level > WIRE_LOG_ERROR) {
		worker_breach(build->worker, "LOG that cannot be read");
		return;
	}
	build->log_bytes += text.n + fields.n;
	if (build->log_bytes > calls->limits.max_log_bytes + CALL_LOG_FLOOD) {
		worker_breach(build->worker, "a flood of log lines");
		return;
	}
	if (build->log_bytes <= calls->limits.max_log_bytes)
		calls->callbacks.on_log(build->function->version, NULL,
		    (enum wire_log)level, text, fields, calls->arg);
}

static void
on_time(const struct build *build)
{
	struct buf *out = worker_out(build->worker);
	size_t begin = wire_add_begin(out, WIRE_TIME_IS, 0);

	wire_add_u64(out, (uint64_t)clock_wall_ms());
	wire_add_u64(out, clock_mono_us());
	wire_add_end(out, begin);
	worker_flush(build->worker);
}

void
build_on_frame(struct build *build, const struct wire_header *header,
    struct slice body)
{
	struct wire_reader r = {(const uint8_t *)body.p, body.n, false};

	if (++build->frames > CALL_FRAMES_MAX) {
		worker_breach(build->worker, "too many frames");
		return;
	}
	if (header->type == WIRE_HEAP_DATA)
		on_heap(build, body);
	else if (header->type == WIRE_BUILT)
		on_built(build, &r);
	else if (header->type == WIRE_FAILED)
		on_failed(build, &r);
	else if (header->type == WIRE_LOG)
		on_log(build, &r);
	else if (header->type == WIRE_TIME)
		on_time(build);
	else
		worker_breach(build->worker,
		    "a frame that does not belong to a build");
}

void
build_on_death(struct build *build, const struct worker_death *death)
{
	char text[256];

	if (build->out_of_time)
		(void)snprintf(text, sizeof(text),
		    "the init (top level) ran longer than %llu ms and had to "
		    "be killed",
		    (unsigned long long)
			build->function->calls->limits.init_timeout_ms);
	else
		(void)snprintf(text, sizeof(text), "the init failed: %s",
		    death->text);
	end(build, text, death->platform && !build->out_of_time);
}
