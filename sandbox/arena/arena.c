/*
 * arena.c - size classes over a bump pointer, all of it in the arena.
 *
 * Runs in: zygote, worker.
 * Owns:    the mapping at ARENA_BASE.
 *
 * Classes: every 16 bytes up to 512, then four per doubling.  A freed block
 * goes to its class's list, or, when it is the last one below the bump
 * pointer, back to the rest; the last block grows in place, which is what a
 * string being built does.
 */
#include "sandbox/arena/arena.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define GRAIN	    16
#define SMALL_MAX   512
#define SMALL	    (SMALL_MAX / GRAIN) /* classes of one grain each */
#define CLASSES	    128
#define MAGIC	    UINT64_C(0x70657269617265) /* "periare" */
#define MARK_STEP   ((size_t)64 * 1024) /* soft marks are this far apart */
#define HEADER_ROOM ((size_t)2048)

struct block {
	struct block *next;
};

struct arena {
	uint64_t magic;
	size_t used; /* bump pointer, from the base */
	size_t peak;
	size_t limit;
	size_t mark; /* soft */
	size_t idle; /* bytes in the free lists */
	void *root;
	struct block *free[CLASSES];
};

_Static_assert(sizeof(struct arena) <= HEADER_ROOM, "header fits its room");

static void (*hook_soft)(void);
static void (*hook_full)(void);

static struct arena *
arena(void)
{
	return (struct arena *)(void *)ARENA_BASE;
}

int
arena_map(size_t max_bytes)
{
	void *p = mmap(ARENA_BASE, max_bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
	    -1, 0);

	return p == MAP_FAILED ? -1 : 0;
}

int
arena_shrink(size_t max_bytes)
{
	if (max_bytes >= ARENA_MAX_BYTES)
		return 0;
	return munmap(ARENA_BASE + max_bytes, ARENA_MAX_BYTES - max_bytes);
}

void
arena_set_hooks(void (*on_soft)(void), void (*on_full)(void))
{
	hook_soft = on_soft;
	hook_full = on_full;
}

/* The first mark of a request: an eighth of the limit, or half way to it. */
static void
place_mark(struct arena *a)
{
	size_t eighth = a->limit / 8;

	a->mark =
	    eighth > a->used * 2 ? eighth : a->used + (a->limit - a->used) / 2;
}

void
arena_init(size_t limit_bytes)
{
	struct arena *a = arena();

	memset(a, 0, sizeof(*a));
	a->magic = MAGIC;
	a->used = HEADER_ROOM;
	a->peak = a->used;
	a->limit = limit_bytes;
	place_mark(a);
}

/* The class of a size, and the size of a block of that class. */
static unsigned int
class_of(size_t bytes, size_t *block_bytes_out)
{
	unsigned int log;
	unsigned int quarter;
	size_t step;

	if (bytes <= SMALL_MAX) {
		unsigned int c = (unsigned int)((bytes + GRAIN - 1) / GRAIN);

		*block_bytes_out = (size_t)c * GRAIN;
		return c;
	}
	/* 2^log < bytes <= 2^(log+1), in four steps */
	log = 63 - (unsigned int)__builtin_clzll(bytes - 1);
	step = (size_t)1 << (log - 2);
	quarter =
	    (unsigned int)((bytes - ((size_t)1 << log) + step - 1) / step);
	*block_bytes_out = ((size_t)1 << log) + quarter * step;
	return SMALL + (log - 9) * 4 + quarter;
}

static void
full(void)
{
	hook_full();
	__builtin_trap(); /* the hook does not return */
}

/* Move the bump pointer so that the arena ends at `end`. */
static void
grow_to(struct arena *a, size_t end)
{
	if (end > a->limit)
		full();
	a->used = end;
	if (end > a->peak)
		a->peak = end;
	if (end > a->mark) {
		a->mark = a->limit; /* once; arena_collected() sets the next */
		hook_soft();
	}
}

static void *
get(struct arena *a, size_t bytes)
{
	size_t block_bytes;
	unsigned int c;
	size_t at;

	if (bytes > ARENA_MAX_BYTES)
		full();
	c = class_of(bytes, &block_bytes);
	if (a->free[c] != NULL) {
		struct block *block = a->free[c];

		a->free[c] = block->next;
		a->idle -= block_bytes;
		return block;
	}
	at = a->used;
	grow_to(a, at + block_bytes);
	return ARENA_BASE + at;
}

static void
put(struct arena *a, void *p, size_t bytes)
{
	size_t block_bytes;
	unsigned int c = class_of(bytes, &block_bytes);
	struct block *block = p;

	if ((char *)p + block_bytes == ARENA_BASE + a->used) {
		a->used -= block_bytes;
		return;
	}
	block->next = a->free[c];
	a->free[c] = block;
	a->idle += block_bytes;
}

/* Give a block another size where it is; false when that cannot be. */
static bool
resize(struct arena *a, const void *p, size_t old_bytes, size_t new_bytes)
{
	size_t old_block;
	size_t new_block;

	(void)class_of(old_bytes, &old_block);
	(void)class_of(new_bytes, &new_block);
	if (old_block == new_block)
		return true;
	if ((const char *)p + old_block != ARENA_BASE + a->used)
		return false;
	if (new_block > old_block)
		grow_to(a, a->used + (new_block - old_block));
	else
		a->used -= old_block - new_block;
	return true;
}

void *
arena_alloc(void *ud, void *p, size_t old_bytes, size_t new_bytes)
{
	struct arena *a = arena();
	void *fresh;

	if (p == NULL)
		return new_bytes == 0 ? NULL : get(a, new_bytes);
	if (new_bytes == 0) {
		put(a, p, old_bytes);
		return NULL;
	}
	if (new_bytes > ARENA_MAX_BYTES)
		full();
	if (resize(a, p, old_bytes, new_bytes))
		return p;
	fresh = get(a, new_bytes);
	memcpy(fresh, p, old_bytes < new_bytes ? old_bytes : new_bytes);
	put(a, p, old_bytes);
	return fresh;
}

size_t
arena_used(void)
{
	return arena()->used;
}

size_t
arena_peak(void)
{
	return arena()->peak;
}

void
arena_begin(void)
{
	struct arena *a = arena();

	a->peak = a->used;
	place_mark(a);
}

/*
 * When half of the heap or more came back, its free lists are where the next
 * allocations go, and the end of those lists is when to collect again.  When
 * most of it is alive, it may grow by as much again, or half way to the limit.
 */
void
arena_collected(void)
{
	struct arena *a = arena();
	size_t alive = a->used - a->idle;
	size_t step = (a->limit - a->used) / 2;

	if (step > alive)
		step = alive;
	if (a->idle >= a->used / 2 || step < MARK_STEP)
		step = MARK_STEP;
	a->mark = a->used + step;
}

bool
arena_adopt(size_t bytes, size_t limit_bytes)
{
	struct arena *a = arena();

	if (a->magic != MAGIC || a->used != bytes || bytes > limit_bytes)
		return false;
	a->limit = limit_bytes;
	return true;
}

void
arena_set_root(void *root)
{
	arena()->root = root;
}

void *
arena_root(void)
{
	return arena()->root;
}
