/*
 * arena.h - all memory of a function's Lua heap, at one fixed address.
 *
 * Runs in: zygote, worker.
 * Owns:    the mapping at ARENA_BASE, from arena_map() until exit.
 *
 * The bookkeeping is in the arena too, so the bytes from ARENA_BASE to
 * ARENA_BASE + arena_used() are the whole heap: copied into another process
 * with the same program layout, or back over a heap that has run, they are
 * the function as it was.  That is what an image is.
 *
 * Never returns NULL to Lua: a failed allocation would make Lua collect at a
 * point that the function's author picks (wall.md, 2.6).  Past a soft mark
 * on_soft is called, once per mark, to have a collection made at a safe
 * point; at the limit on_full is called and must not return.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define ARENA_BASE	((char *)0x200000000000)
#define ARENA_MAX_BYTES ((size_t)1 << 30) /* what is reserved, at most used */

/* Reserve max_bytes at ARENA_BASE.  Returns 0 or -1 with errno. */
int arena_map(size_t max_bytes);

/* Give back what is reserved above max_bytes.  0 or -1 with errno. */
int arena_shrink(size_t max_bytes);

/* An empty heap that may use limit_bytes. */
void arena_init(size_t limit_bytes);

void arena_set_hooks(void (*on_soft)(void), void (*on_full)(void));

/* A lua_Alloc; ud is not used. */
void *arena_alloc(void *ud, void *p, size_t old_bytes, size_t new_bytes);

/* Bytes from ARENA_BASE that are in use: the size of the image. */
size_t arena_used(void);

/* The most that was in use since arena_begin(). */
size_t arena_peak(void);

/* A request begins: the peak and the soft mark start from here. */
void arena_begin(void);

/* A collection was made: place the next soft mark by what it brought. */
void arena_collected(void);

/* Is there a heap whose header says it is `bytes` long and fits `limit`?
 * Called after an image was copied in; sets the limit. */
bool arena_adopt(size_t bytes, size_t limit_bytes);

/* One pointer and one number that are found again in an image. */
void arena_set_root(void *root);
void *arena_root(void);
