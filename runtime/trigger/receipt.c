/*
 * receipt.c - see receipt.h.
 *
 * Runs in: gateway.
 */
#include "runtime/trigger/receipt.h"

#include <stdio.h>

#define MS(us) (unsigned long long)((us) / 1000), (unsigned int)((us) % 1000)

static struct http_header
header(const char *name, const char *value)
{
	return (struct http_header){slice_of(name), slice_of(value)};
}

size_t
receipt_make(struct receipt *receipt, const struct record *record,
    struct http_header *headers)
{
	uint64_t start_us =
	    record->spawn_us + record->jail_us + record->load_us;
	size_t n = 0;

	(void)snprintf(receipt->timing, sizeof(receipt->timing),
	    "queue;dur=%llu.%03u, start;dur=%llu.%03u, init;dur=%llu.%03u, "
	    "handler;dur=%llu.%03u",
	    MS(record->queue_us), MS(start_us), MS(record->init_us),
	    MS(record->handler_us));
	headers[n++] = header("Server-Timing", receipt->timing);
	if (record->kind != RECORD_KIND_NONE) {
		if (record->kind == RECORD_KIND_WARM)
			(void)snprintf(receipt->start, sizeof(receipt->start),
			    "warm");
		else
			(void)snprintf(receipt->start, sizeof(receipt->start),
			    "%s; cause=%s", record_kind_name(record->kind),
			    record_cause_name(record->cause));
		headers[n++] = header("Perilune-Start", receipt->start);
	}
	(void)snprintf(receipt->billed, sizeof(receipt->billed), "%llu",
	    (unsigned long long)record->billed_ms);
	headers[n++] = header("Perilune-Billed-Ms", receipt->billed);
	(void)snprintf(receipt->peak, sizeof(receipt->peak), "%llu",
	    (unsigned long long)record->peak_kb);
	headers[n++] = header("Perilune-Peak-Kb", receipt->peak);
	return n;
}

bool
receipt_reserved(struct slice name)
{
	static const char prefix[] = "perilune-";
	size_t n = sizeof(prefix) - 1;

	if (slice_ieq(name, SLICE("server-timing")) ||
	    slice_ieq(name, SLICE("date")))
		return true;
	return name.n >= n &&
	    slice_ieq(slice_from(name.p, n), slice_of(prefix));
}

/* "hello.lua:7" out of the first Lua line of a traceback. */
static struct slice
running_line(struct slice traceback)
{
	const char *mark = traceback.n == 0
	    ? NULL
	    : memmem(traceback.p, traceback.n, ".lua:", 5);
	const char *begin = mark;
	const char *end;

	if (mark == NULL)
		return (struct slice){0};
	while (begin > traceback.p && begin[-1] != '\t' && begin[-1] != '\n' &&
	    begin[-1] != ' ')
		begin--;
	end = mark + 5;
	while (end < traceback.p + traceback.n && *end >= '0' && *end <= '9')
		end++;
	return slice_from(begin, (size_t)(end - begin));
}

void
receipt_detail(struct buf *out, const struct call_result *result, bool dev)
{
	const struct record *record = result->record;
	struct slice line = running_line(result->traceback);

	if (record->failed_by != RECORD_FAILED_HANDLER || dev)
		buf_add_slice(out, result->message);
	else if (record->status == 500)
		buf_puts(out,
		    "the function raised an error; its log says which");
	else
		buf_puts(out,
		    "the function's response cannot be sent; its log says why");
	if (record->outcome == RECORD_OUTCOME_TIMEOUT && line.n > 0) {
		buf_puts(out, "; it was running ");
		buf_add_slice(out, line);
	}
	if (dev && result->traceback.n > 0) {
		buf_putc(out, '\n');
		buf_add_slice(out, result->traceback);
	}
	buf_putc(out, '\0');
}
