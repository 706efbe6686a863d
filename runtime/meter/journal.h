/*
 * journal.h - records in a mapped file, until the ledger has them.  Private to
 * runtime/meter.
 *
 * Runs in: gateway.
 * Owns:    the mapping, the file's descriptor and lock.
 *
 * The pages belong to the kernel, so what was written to them is there after
 * the process was killed, without a system call (not after the machine lost
 * power: for that there is the ledger).  A slot is free, being written, or
 * complete:
 *
 *	free -> writing -> complete -> free (the ledger has it)
 *
 * What the next gateway finds "writing" was cut off: it counts as maybe lost.
 */
#pragma once

#include "runtime/stat/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct journal;

#define JOURNAL_FILE  "journal"
#define JOURNAL_BAD   "journal.bad" /* what was found in its place */
#define JOURNAL_SLOTS 65536	    /* 1 s at 65,000 requests per second */

/* What was found at open. */
struct journal_found {
	uint64_t
	    recovered; /* complete records: the oldest, as peek gives them */
	uint64_t lost; /* slots that were not complete or damaged */
	uint64_t last_seq; /* the highest among the recovered; 0: none */
	bool bad; /* the file was none of ours; it is JOURNAL_BAD now */
};

struct journal *journal_open(int dirfd, uint32_t slots,
    struct journal_found *found_out, struct err *err);

/* Add a copy.  false: full; then it is counted as dropped. */
bool journal_append(struct journal *journal, const struct record *record);

/* Records that wait, and the i-th oldest of them (i below waiting). */
size_t journal_waiting(const struct journal *journal);
const struct record *journal_peek(const struct journal *journal, size_t i);

/* The n oldest are in the ledger: their slots are free. */
void journal_release(struct journal *journal, size_t n);

/* Kept in the file: records that gateways before this one may have lost, ever
 * (cut off or dropped); and those that this one dropped. */
uint64_t journal_maybe_lost(const struct journal *journal);
uint64_t journal_dropped(const struct journal *journal);

/* What waits stays in the file. */
void journal_close(struct journal *journal);
