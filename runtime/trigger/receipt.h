/*
 * receipt.h - a record as response headers, a failure in words.
 *
 * Runs in: gateway.
 * Owns:    the text of the headers, in a struct of the caller's.
 *
 *	Server-Timing: queue;dur=0.012, start;dur=0.190, init;dur=0.000,
 *	    handler;dur=1.204
 *	Perilune-Start: image; cause=from_zero
 *	Perilune-Billed-Ms: 2
 *	Perilune-Peak-Kb: 41
 */
#pragma once

#include "runtime/call/call.h"
#include "runtime/http/http.h"

#define RECEIPT_HEADERS 4

struct receipt {
	char timing[160];
	char start[64];
	char billed[24];
	char peak[24];
};

/* Fills up to RECEIPT_HEADERS headers that point into *receipt; returns how
 * many. */
size_t receipt_make(struct receipt *receipt, const struct record *record,
    struct http_header *headers);

/* What a caller is told of a failure, NUL-terminated: safe words; with dev
 * the message and the traceback too.  After a timeout always the line that
 * was running. */
void receipt_detail(struct buf *out, const struct call_result *result,
    bool dev);
