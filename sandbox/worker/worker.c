/*
 * worker.c - the turn of a worker: read frames, run the function, write.
 *
 * Runs in: zygote (worker_prepare), worker.
 * Owns:    the inbox and outbox regions, the pristine copy of the heap.
 *
 * A turn makes two system calls: the read that brings events and the write
 * that takes their results.  The heap is copied back after the write, while
 * the gateway is already answering.
 */
#include "sandbox/worker/worker.h"

#include "sandbox/arena/arena.h"
#include "sandbox/base/bytes.h"
#include "sandbox/base/err.h"
#include "sandbox/jail/jail.h"
#include "sandbox/lua/fnlua.h"
#include "sandbox/wire/wire.h"
#include "sandbox/worker/io.h"

#include <lua.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PRISTINE_BASE ((char *)0x210000000000)
#define TOUCH_BYTES   ((size_t)48 * 1024) /* of a heap, in advance */
#define EXIT_BROKEN   70 /* the gateway broke the protocol: EX_SOFTWARE */
#define EXIT_SPENT    71 /* out of time or memory, said in a frame */

static struct {
	char *memory;
	size_t bytes;
} title;

static struct {
	size_t heap_bytes; /* of the pristine copy; 0: no function yet */
	size_t limit_bytes;
	enum wire_heap heap;
	uint64_t call_id;
	bool running;  /* the handler of call_id */
	bool dropping; /* every INVOKE, until RECALL comes: PROTOCOL.md */
} self;

static struct fnlua_failure failure;
static volatile sig_atomic_t interrupted; /* by the deadline */
static volatile sig_atomic_t recalled;	  /* what has not begun */
static volatile sig_atomic_t collect;	  /* the soft mark was passed */

static void on_hook(lua_State *L, lua_Debug *ar);

/* Have on_hook called before the next instruction.  Async-signal-safe, as
 * lua_sethook is made to be. */
static void
set_hook(void)
{
	lua_State *L = fnlua_running();

	if (L != NULL)
		lua_sethook(L, on_hook,
		    LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

static void
on_interrupt(int signal)
{
	interrupted = 1;
	set_hook();
}

static void
on_recall_signal(int signal)
{
	recalled = 1;
	set_hook();
}

static void
on_soft(void)
{
	collect = 1;
	set_hook();
}

static void
send_failed(enum wire_failure why, const char *message, const char *traceback)
{
	struct wire_writer w = io_begin(WIRE_FAILED, self.call_id);

	wire_put_u8(&w, (uint8_t)why);
	wire_put_u64(&w, arena_peak());
	wire_put_str(&w, slice_of(message));
	wire_put_str(&w, slice_of(traceback));
	io_send(&w);
}

static void
on_full(void)
{
	send_failed(WIRE_FAIL_MEMORY, "out of memory", "");
	_exit(EXIT_SPENT);
}

static void
give_back(void)
{
	if (self.dropping) /* another one: its turn is after RECALL */
		return;
	recalled = 0;
	self.dropping = true;
	io_send_raw(WIRE_RETURNED, self.running ? self.call_id : 0, NULL, 0);
}

/* RECALL stands behind what is to be dropped; it may be the first we hear. */
static void
on_recall(void)
{
	give_back();
	self.dropping = false;
}

/*
 * Before the next Lua instruction: here the heap is in order, so a collection
 * may run, and the traceback names the line.  No pcall sees the timeout: the
 * process ends.
 */
static void
on_hook(lua_State *L, lua_Debug *ar)
{
	lua_sethook(L, NULL, 0, 0);
	if (interrupted != 0) {
		fnlua_traceback(L, failure.traceback,
		    sizeof(failure.traceback));
		send_failed(WIRE_FAIL_TIMEOUT, "out of time",
		    failure.traceback);
		_exit(EXIT_SPENT);
	}
	if (recalled != 0)
		give_back();
	if (collect != 0) {
		collect = 0;
		lua_gc(L, LUA_GCCOLLECT);
		arena_collected();
	}
}

/* --- what Lua asks of the gateway -------------------------------------- */

static void
host_log(enum wire_log level, struct slice text, struct slice fields)
{
	struct wire_writer w = io_begin(WIRE_LOG, self.call_id);

	wire_put_u8(&w, (uint8_t)level);
	wire_put_str(&w, text);
	wire_put_str(&w, fields);
	io_send(&w);
}

static void
host_time(int64_t *wall_ms_out, uint64_t *mono_us_out)
{
	struct wire_writer w = io_begin(WIRE_TIME, self.call_id);
	struct wire_reader r;

	io_send(&w);
	r = io_await(WIRE_TIME_IS, self.call_id, on_recall);
	*wall_ms_out = (int64_t)wire_get_u64(&r);
	*mono_us_out = wire_get_u64(&r);
	if (!wire_got_all(&r))
		_exit(EXIT_BROKEN);
}

static bool
host_file_read(uint64_t offset, uint32_t bytes, struct slice *data_out,
    struct slice *reason_out)
{
	struct wire_writer w = io_begin(WIRE_FILE_READ, self.call_id);
	struct wire_reader r;
	struct slice said;
	bool ok;

	wire_put_u64(&w, offset);
	wire_put_u32(&w, bytes);
	io_send(&w);
	r = io_await(WIRE_FILE_DATA, self.call_id, on_recall);
	ok = wire_get_u8(&r) != 0;
	said = wire_get_str(&r);
	if (!wire_got_all(&r))
		_exit(EXIT_BROKEN);
	*(ok ? data_out : reason_out) = said;
	return ok;
}

static bool
file_done(struct slice *reason_out)
{
	struct wire_reader r =
	    io_await(WIRE_FILE_DONE, self.call_id, on_recall);
	bool ok = wire_get_u8(&r) != 0;

	*reason_out = wire_get_str(&r);
	if (!wire_got_all(&r))
		_exit(EXIT_BROKEN);
	return ok;
}

static bool
host_file_write(struct slice name, struct slice bytes, struct slice *reason_out)
{
	struct wire_writer w = io_begin(WIRE_FILE_WRITE, self.call_id);

	wire_put_str(&w, name);
	wire_put_str(&w, bytes);
	if (w.full ||
	    w.n - WIRE_HEADER_BYTES > wire_max_bytes(WIRE_FILE_WRITE)) {
		*reason_out = SLICE("more than 1 MiB at once");
		return false;
	}
	io_send(&w);
	return file_done(reason_out);
}

static bool
host_file_commit(struct slice name, struct slice *reason_out)
{
	struct wire_writer w = io_begin(WIRE_FILE_COMMIT, self.call_id);

	wire_put_str(&w, name);
	if (w.n - WIRE_HEADER_BYTES > wire_max_bytes(WIRE_FILE_COMMIT)) {
		*reason_out = SLICE("the name is too long");
		return false;
	}
	io_send(&w);
	return file_done(reason_out);
}

static const struct fnlua_host host = {
    .log = host_log,
    .time = host_time,
    .file_read = host_file_read,
    .file_write = host_file_write,
    .file_commit = host_file_commit,
};

/* --- what the gateway asks of us --------------------------------------- */

/* In the bytes that argv had: no system call. */
__attribute__((format(printf, 1, 2))) static void
set_title(const char *fmt, ...)
{
	va_list ap;

	if (title.bytes == 0)
		return;
	memset(title.memory, 0, title.bytes);
	va_start(ap, fmt);
	(void)vsnprintf(title.memory, title.bytes, fmt, ap);
	va_end(ap);
}

static void
set_function_title(struct slice function, uint32_t version)
{
	set_title("perilune: worker %.*s@%u", (int)function.n, function.p,
	    version);
}

static void
keep_heap(void)
{
	self.heap_bytes = arena_used();
	memcpy(PRISTINE_BASE, ARENA_BASE, self.heap_bytes);
}

static void
send_heap(void)
{
	struct wire_writer w = io_begin(WIRE_BUILT, self.call_id);
	size_t chunk = wire_max_bytes(WIRE_HEAP_DATA);

	wire_put_u64(&w, self.heap_bytes);
	wire_put_u64(&w, arena_peak());
	io_send(&w);
	for (size_t at = 0; at < self.heap_bytes; at += chunk) {
		size_t n = self.heap_bytes - at;

		io_send_raw(WIRE_HEAP_DATA, self.call_id, PRISTINE_BASE + at,
		    n < chunk ? n : chunk);
	}
}

static void
on_build(struct wire_reader *r)
{
	struct fnlua_function function = {.name = wire_get_str(r)};
	const uint8_t *seed;
	int64_t wall_ms;
	uint64_t mono_us;
	lua_State *L;

	function.version = wire_get_u32(r);
	function.memory_bytes = wire_get_u64(r);
	function.heap = (enum wire_heap)wire_get_u8(r);
	seed = (const uint8_t *)wire_get_raw(r, WIRE_SEED_BYTES).p;
	wall_ms = (int64_t)wire_get_u64(r);
	mono_us = wire_get_u64(r);
	if (r->bad || self.heap_bytes != 0)
		_exit(EXIT_BROKEN);
	self.limit_bytes = function.memory_bytes;
	self.heap = function.heap;
	set_function_title(function.name, function.version);
	io_be_greedy();
	arena_init(self.limit_bytes);
	L = fnlua_new(arena_alloc, NULL, &host, seed);
	if (L == NULL)
		_exit(EXIT_BROKEN);
	arena_set_root(L);
	if (fnlua_load(L, &function, r, seed, wall_ms, mono_us, &failure) < 0) {
		send_failed(failure.why, failure.message, failure.traceback);
		return;
	}
	keep_heap();
	send_heap();
}

/* The bytes go straight to the pristine copy and, complete, to the arena. */
static void
on_image(struct wire_reader *r)
{
	struct slice name = wire_get_str(r);
	uint32_t version = wire_get_u32(r);
	size_t wanted_bytes;

	self.limit_bytes = wire_get_u64(r);
	self.heap = (enum wire_heap)wire_get_u8(r);
	wanted_bytes = wire_get_u64(r);
	if (!wire_got_all(r) || self.heap_bytes != 0 ||
	    wanted_bytes > self.limit_bytes)
		_exit(EXIT_BROKEN);
	set_function_title(name, version);
	while (self.heap_bytes < wanted_bytes)
		self.heap_bytes += io_next_into(WIRE_IMAGE_DATA,
		    PRISTINE_BASE + self.heap_bytes,
		    wanted_bytes - self.heap_bytes);
	io_be_greedy();
	memcpy(ARENA_BASE, PRISTINE_BASE, self.heap_bytes);
	if (!arena_adopt(self.heap_bytes, self.limit_bytes))
		_exit(EXIT_BROKEN);
	fnlua_set_host(&host);
}

static void
restore(void)
{
	if (self.heap == WIRE_HEAP_FRESH)
		memcpy(ARENA_BASE, PRISTINE_BASE, self.heap_bytes);
}

static void
run(const struct fnlua_event *event, uint64_t max_result_bytes)
{
	struct wire_writer w = io_begin(WIRE_RESULT, self.call_id);
	size_t room = WIRE_HEADER_BYTES + 8 + max_result_bytes;
	size_t peak_at = w.n;

	/* From here on the recall signal sets the hook; before, only a flag. */
	fnlua_run_main(arena_root());
	if (recalled != 0)
		give_back();
	if (room < w.cap)
		w.cap = room;
	wire_put_u64(&w, 0);
	if (fnlua_invoke(arena_root(), event, &w, &failure) < 0) {
		send_failed(failure.why, failure.message, failure.traceback);
		return;
	}
	io_patch_u64(&w, peak_at, arena_peak());
	io_send(&w);
}

static void
on_invoke(struct wire_reader *r)
{
	struct fnlua_event event = {0};
	uint64_t max_result_bytes;
	bool announce;

	event.seed = (const uint8_t *)wire_get_raw(r, WIRE_SEED_BYTES).p;
	event.wall_ms = (int64_t)wire_get_u64(r);
	event.mono_us = wire_get_u64(r);
	event.deadline_us = wire_get_u64(r);
	max_result_bytes = wire_get_u64(r);
	announce = wire_get_u8(r) != 0;
	event.cold = wire_get_u8(r) != 0;
	event.start = wire_get_str(r);
	event.request_id = wire_get_str(r);
	event.kind = (enum wire_event)wire_get_u8(r);
	event.fields = *r;
	if (r->bad || self.heap_bytes == 0 ||
	    max_result_bytes > wire_max_bytes(WIRE_RESULT))
		_exit(EXIT_BROKEN);
	interrupted = 0;
	collect = 0;
	arena_begin();
	if (announce)
		io_send_raw(WIRE_STARTED, self.call_id, NULL, 0);
	self.running = true;
	run(&event, max_result_bytes);
	self.running = false;
	io_settle();
	restore();
}

static void
serve_frame(const struct wire_header *header, struct wire_reader *r)
{
	if (recalled != 0)
		give_back();
	if (header->type == WIRE_RECALL) {
		on_recall();
		return;
	}
	if (self.dropping && header->type == WIRE_INVOKE)
		return;
	self.call_id = header->call_id;
	if (header->type == WIRE_INVOKE)
		on_invoke(r);
	else if (header->type == WIRE_IMAGE)
		on_image(r);
	else if (header->type == WIRE_BUILD)
		on_build(r);
	else
		_exit(EXIT_BROKEN);
}

/* Page faults are most of what a small image costs: have them while nobody
 * waits. */
static void
touch(void)
{
	volatile char *arena = ARENA_BASE;
	volatile char *pristine = PRISTINE_BASE;

	for (size_t at = 0; at < TOUCH_BYTES; at += 4096)
		arena[at] = pristine[at] = 0;
	io_touch();
}

int
worker_prepare(void)
{
	struct sigaction interrupt = {.sa_handler = on_interrupt,
	    .sa_flags = SA_RESTART};
	struct sigaction recall = {.sa_handler = on_recall_signal,
	    .sa_flags = SA_RESTART};
	void *pristine = mmap(PRISTINE_BASE, ARENA_MAX_BYTES,
	    PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
	    -1, 0);

	if (pristine == MAP_FAILED || arena_map(ARENA_MAX_BYTES) < 0 ||
	    io_prepare() < 0)
		return -1;
	arena_set_hooks(on_soft, on_full);
	return sigaction(WORKER_INTERRUPT_SIGNAL, &interrupt, NULL) < 0 ||
		sigaction(WORKER_RECALL_SIGNAL, &recall, NULL) < 0
	    ? -1
	    : 0;
}

void
worker_set_title_memory(char *memory, size_t bytes)
{
	title.memory = memory;
	title.bytes = bytes;
}

void
worker_main(int socket, size_t memory_bytes)
{
	if (arena_shrink(memory_bytes) < 0 ||
	    (memory_bytes < ARENA_MAX_BYTES &&
		munmap(PRISTINE_BASE + memory_bytes,
		    ARENA_MAX_BYTES - memory_bytes) < 0) ||
	    jail_worker(socket) < 0)
		_exit(EXIT_BROKEN);
	set_title("perilune: worker (ready)");
	fnlua_set_host(&host);
	io_send_raw(WIRE_READY, 0, NULL, 0);
	touch();
	for (;;) {
		struct wire_header header;
		struct wire_reader r = io_next(&header);

		serve_frame(&header, &r);
	}
}
